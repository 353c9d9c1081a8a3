//! The client's side of one request: sent, and read as it comes.

use astromesh_core::api::SystemStatus;
use astromesh_core::http::Client;
use maia::address::Url;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request whose answer is a stream, on a connection of its own.
pub(crate) struct Asked {
    stream: TcpStream,
}

impl Asked {
    /// Asks for a stream, or for a plain answer.
    pub(crate) async fn at(address: SocketAddr, wants_stream: bool) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let body = format!("{{\"query\":\"q\",\"stream\":{wants_stream}}}");
        let head = format!(
            "POST /v1/agents/demo/run HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await?;
        Ok(Self { stream })
    }

    /// Reads what is there, and waits for it; 0 at the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.read(buffer).await
    }
}

/// What the gateway has in flight, and whom it has turned away.
pub(crate) async fn in_flight(gateway: SocketAddr) -> anyhow::Result<SystemStatus> {
    let url = Url::new(&format!("http://{gateway}"))?;
    Ok(Client::new(PATIENCE).get(&url, "/v1/system/status").await?)
}
