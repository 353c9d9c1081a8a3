//! `http_request`, which goes where the model says and the operator allows; and tools that are places of the operator's own.

use super::{ANSWER_BYTES, Arguments};
use crate::hop::strip_hop_by_hop;
use crate::outside::Outside;
use astromesh_core::allow::AllowList;
use astromesh_core::http::{Body, full};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION, USER_AGENT,
};
use hyper::{Method, Request, Response};
use serde_json::{Value, json as value};

/// What a model may do to a place.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// What others are told of the model's answers: these fields and no more.
const TOLD: [HeaderName; 2] = [CONTENT_TYPE, LOCATION];

/// As the model is told of `http_request`.
pub(super) fn described(allow: &AllowList) -> (String, Value) {
    let parameters = value!({
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "An http or https URL."},
            "method": {"type": "string", "enum": METHODS, "description": "GET where it is left out."},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "body": {
                "type": "string",
                "description": "What is sent. For JSON, also set the header content-type.",
            },
        },
        "required": ["url"],
    });
    let description = format!(
        "Sends an HTTP request and returns the status and the body. Redirects are not followed. It may go to: {allow}"
    );
    (description, parameters)
}

/// Sends what the model wants sent.
pub(super) async fn send(outside: &Outside, arguments: &Arguments) -> Result<String, String> {
    let request = wanted(arguments)?;
    let is_head = request.method() == Method::HEAD;
    let response = outside
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = if is_head {
        String::new()
    } else {
        beginning(body).await?
    };
    let told = TOLD.iter().filter_map(|name| {
        let value = head.headers.get(name)?;
        Some((
            name.to_string(),
            value!(String::from_utf8_lossy(value.as_bytes())),
        ))
    });
    Ok(value!({
        "status": head.status.as_u16(),
        "headers": told.collect::<Arguments>(),
        "body": body,
    })
    .to_string())
}

/// Posts the arguments to a place of the operator's own.
pub(super) async fn ask(
    outside: &Outside,
    url: &str,
    arguments: &Arguments,
) -> Result<String, String> {
    let mut request = Request::new(full(value!(arguments).to_string()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url
        .parse()
        .map_err(|error| format!("{url} is no URL: {error}"))?;
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    let response: Response<Body> = outside
        .send(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    let said = beginning(response.into_body()).await?;
    match status.is_success() {
        true => Ok(said),
        false => Err(format!("status {}: {said}", status.as_u16())),
    }
}

fn wanted(arguments: &Arguments) -> Result<Request<Body>, String> {
    let text = |name: &str| match arguments.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        // A body that is meant as JSON.
        Some(other) if name == "body" => Ok(Some(other.to_string())),
        Some(_) => Err(format!("{name}: expected a string")),
    };
    let url = text("url")?.ok_or("url: expected a string, found nothing")?;
    let method = text("method")?
        .unwrap_or_else(|| "GET".to_owned())
        .to_ascii_uppercase();
    if !METHODS.contains(&method.as_str()) {
        return Err(format!("method: expected one of {}", METHODS.join(", ")));
    }
    let mut request = Request::new(full(text("body")?.unwrap_or_default()));
    *request.method_mut() = method.parse().expect("they are methods");
    *request.uri_mut() = url.parse().map_err(|error| format!("url: {error}"))?;
    *request.headers_mut() = headers(arguments.get("headers"))?;
    Ok(request)
}

fn headers(wanted: Option<&Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(USER_AGENT, HeaderValue::from_static("astromesh"));
    let none = Arguments::new();
    let wanted = match wanted {
        None | Some(Value::Null) => &none,
        Some(Value::Object(wanted)) => wanted,
        Some(_) => return Err("headers: expected an object of strings".to_owned()),
    };
    for (name, value) in wanted {
        let wrong = || format!("headers: {name:?} is not a header field of one line of text");
        let field: HeaderName = name.parse().map_err(|_| wrong())?;
        let text = value.as_str().ok_or_else(wrong)?;
        headers.insert(field, text.parse().map_err(|_| wrong())?);
    }
    // What frames the message and names the place is not the model's to say.
    strip_hop_by_hop(&mut headers);
    for name in [HOST, CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    Ok(headers)
}

/// As much of a body as the model is shown.
async fn beginning(mut body: Body) -> Result<String, String> {
    let mut read: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        read.extend_from_slice(&data.into_data().unwrap_or_else(|_| Bytes::new()));
        if read.len() > ANSWER_BYTES {
            let shown = String::from_utf8_lossy(&read[..ANSWER_BYTES]);
            return Ok(format!(
                "{shown}\n[cut here: only {ANSWER_BYTES} bytes are shown]"
            ));
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(value: &Value) -> Arguments {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn what_a_model_may_not_say_is_left_out_or_refused() {
        let request = wanted(&arguments(&value!({
            "url": "http://a.b/c", "method": "post", "body": {"a": 1},
            "headers": {"host": "x", "content-length": "9", "connection": "x-more", "x-more": "1", "x-mine": "1"},
        })));
        let request = request.expect("it is right");
        assert_eq!(request.method(), Method::POST);
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "user-agent", "x-mine"]);
        for wrong in [
            value!({}),
            value!({"url": 7}),
            value!({"url": "http://a b/"}),
            value!({"url": "http://a/", "method": "CONNECT"}),
            value!({"url": "http://a/", "headers": {"a b": "c"}}),
            value!({"url": "http://a/", "headers": {"a": "c\r\nd: e"}}),
            value!({"url": "http://a/", "headers": ["a"]}),
        ] {
            assert!(wanted(&arguments(&wrong)).is_err(), "{wrong}");
        }
    }
}
