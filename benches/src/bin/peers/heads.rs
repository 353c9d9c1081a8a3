//! How long the heads of HTTP are: taken from a call that the daemon's own client makes to a real daemon, over loopback.

use astromesh_core::http::HttpTransport;
use astromesh_core::settings::{Environment, Flags, Settings};
use astromeshd::Daemon;
use maia::address::Url;
use maia::beats::Beats;
use maia::driver::Transport;
use maia::id::NodeId;
use maia::message::Request;
use maia::wire::{self, ASK_HEADER, Call, Response};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";

/// Bytes of a head without what differs from call to call: path, host, content type and the digits of the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heads {
    request: usize,
    reply: usize,
}

impl Heads {
    /// Starts a daemon and calls it.
    pub(crate) fn measured() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let daemon = Daemon::start(settings()?).await?;
            let heads = measure(daemon.address()).await;
            daemon.stop().await;
            heads
        })
    }

    /// Bytes of a call, head and body.
    pub(crate) fn of_request(self, to: &Url, call: &Call) -> usize {
        self.request + varying(host(to), call) + call.body.len()
    }

    /// Bytes of an answer, head and body.
    pub(crate) fn of_reply(self, response: &Response) -> usize {
        let varying = response.content_type.len() + digits(response.body.len());
        self.reply + varying + response.body.len()
    }
}

impl std::fmt::Display for Heads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let to = "http://10.0.0.1:8000".parse().expect("an address");
        let call = wire::encode_request(&Request::Exchange(Beats::default()));
        let request = self.request + varying(host(&to), &call);
        let reply = self.reply + call.content_type.len() + digits(call.body.len());
        write!(f, "{request} and {reply} bytes")
    }
}

/// What differs from call to call in a request's head.
fn varying(host: &str, call: &Call) -> usize {
    let ask = call.ask.as_ref();
    let ask = ask.map_or(0, |id| {
        ASK_HEADER.len() + id.as_str().len() + ": \r\n".len()
    });
    let fixed = call.path.len() + host.len() + call.content_type.len();
    fixed + digits(call.body.len()) + ask
}

fn host(url: &Url) -> &str {
    url.as_str().trim_start_matches("http://")
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

fn settings() -> anyhow::Result<Settings> {
    let environment = Environment::empty()
        .with("ASTROMESH_ROLE", "gateway")
        .with("ASTROMESH_MESH_ENABLED", "true");
    let mut settings = Settings::load(&Flags::default(), &environment)?;
    (settings.api.host, settings.api.port) = (Ipv4Addr::LOCALHOST.into(), 0);
    Ok(settings)
}

/// Makes one exchange through a wire that is listened in on.
async fn measure(daemon: SocketAddr) -> anyhow::Result<Heads> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let to: Url = format!("http://{}", listener.local_addr()?).parse()?;
    let from = NodeId::new("00000000-0000-4000-8000-000000000000")?;
    let transport = HttpTransport::new([], Arc::new(AtomicBool::new(true)));
    let request = Request::Exchange(Beats::default());
    let call = wire::encode_request(&request);
    let (heard, answer) = tokio::join!(
        listen_in(&listener, daemon),
        transport.exchange(from, to.clone(), request)
    );
    let (asked, answered) = heard?;
    let answer = answer.map_err(|failure| anyhow::anyhow!("the daemon said {failure:?}"))?;
    let response = wire::encode_reply(&answer.reply);
    Ok(Heads {
        request: head(&asked)? - varying(host(&to), &call),
        reply: head(&answered)? - response.content_type.len() - digits(response.body.len()),
    })
}

fn head(message: &[u8]) -> anyhow::Result<usize> {
    let end = message.windows(END.len()).position(|part| part == END);
    let end = end.ok_or_else(|| anyhow::anyhow!("no end of the head was seen"))?;
    Ok(end + END.len())
}

/// Passes one call and its answer on, and keeps what they said.
async fn listen_in(
    listener: &TcpListener,
    daemon: SocketAddr,
) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let (mut client, _) = listener.accept().await?;
    let mut server = TcpStream::connect(daemon).await?;
    let asked = passed_on(&mut client, &mut server).await?;
    let answered = passed_on(&mut server, &mut client).await?;
    Ok((asked, answered))
}

/// Passes on one message up to its end, which is where its body is as long as its head says.
async fn passed_on(from: &mut TcpStream, to: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut message = Vec::new();
    while !is_whole(&message) {
        let mut piece = [0; 4_096];
        let count = from.read(&mut piece).await?;
        anyhow::ensure!(count > 0, "the connection ended within a message");
        to.write_all(&piece[..count]).await?;
        message.extend_from_slice(&piece[..count]);
    }
    Ok(message)
}

fn is_whole(message: &[u8]) -> bool {
    let Ok(head) = head(message) else {
        return false;
    };
    let text = String::from_utf8_lossy(&message[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    message.len() >= head + length.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_whole_when_its_body_is_as_long_as_its_head_says() {
        assert!(!is_whole(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n"));
        assert!(!is_whole(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na"));
        assert!(is_whole(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"));
    }
}
