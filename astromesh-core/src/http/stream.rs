//! An answer that comes bit by bit, for as long as it likes: for whoever follows what a daemon tells.

use super::body::{Body, chain, empty, read_bounded};
use super::client::{Answer, CallError, Client, call_error};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request, StatusCode, Uri};
use maia::address::Url;
use tokio::time::timeout;

/// The longest refusal that is read.
const REFUSAL_BYTES: usize = 64 * 1_024;

/// An answer whose head is there, and whose body is read as it comes.
#[derive(Debug)]
pub struct Stream {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    /// Keeps the connection open.
    client: Client,
    url: Url,
}

impl Client {
    /// `GET`s `path` with these headers and returns once the head of the answer is there, whatever its status.
    ///
    /// # Errors
    /// Where there is no head in time.
    pub async fn open(
        &self,
        url: &Url,
        path: &'static str,
        headers: HeaderMap,
    ) -> Result<Stream, CallError> {
        let mut request = Request::new(empty());
        *request.uri_mut() = Uri::from_static(path);
        *request.headers_mut() = headers;
        let response = timeout(self.timeout, self.pool.send(url, request)).await;
        let (head, body) = match response {
            Ok(response) => response.map_err(call_error)?.into_parts(),
            Err(_) => {
                return Err(CallError::TimedOut {
                    url: url.clone(),
                    after: self.timeout,
                });
            }
        };
        Ok(Stream {
            status: head.status,
            headers: head.headers,
            body,
            client: self.clone(),
            url: url.clone(),
        })
    }
}

impl Stream {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether its body is said to be of that type.
    pub fn is_of_type(&self, media_type: &str) -> bool {
        let said = self.headers.get(CONTENT_TYPE);
        said.is_some_and(|said| said.as_bytes().starts_with(media_type.as_bytes()))
    }

    /// The next bytes; `None` at the end. There is no deadline: set one around it.
    ///
    /// # Errors
    /// Where the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| CallError::Broken {
                url: self.url.clone(),
                reason: chain(&*error),
            })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The whole of a short answer: a refusal.
    ///
    /// # Errors
    /// Where it does not come in time, is too long to be one, or breaks off.
    pub async fn whole(self) -> Result<Answer, CallError> {
        let read = timeout(self.client.timeout, read_bounded(self.body, REFUSAL_BYTES));
        match read.await {
            Ok(Ok(body)) => Ok(Answer {
                status: self.status,
                headers: self.headers,
                body: body.into(),
            }),
            Ok(Err(error)) => Err(CallError::Broken {
                url: self.url,
                reason: chain(&error),
            }),
            Err(_) => Err(CallError::TimedOut {
                url: self.url,
                after: self.client.timeout,
            }),
        }
    }
}
