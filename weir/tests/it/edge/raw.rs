//! A client that sends bytes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// A reply of HTTP/1.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) version: String,
    pub(crate) status: u16,
    /// By their names in small letters.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn says_close(&self) -> bool {
        self.headers.get("connection").is_some_and(|value| value == "close")
    }

    pub(crate) fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        document["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
    /// It did not, within the time.
    Open,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) fn on(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// Sends, or finds that the other side has gone.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _gone = self.stream.write_all(bytes.as_ref()).await;
    }

    /// The next reply; `None` if the connection ends first, or nothing comes within five seconds.
    pub(crate) async fn reply(&mut self) -> Option<Seen> {
        loop {
            if let Some((seen, len)) = parse(&self.read) {
                self.read.drain(..len);
                return Some(seen);
            }
            if self.more(Duration::from_secs(5)).await? == 0 {
                return None;
            }
        }
    }

    /// What comes on the connection, whatever it is; 0 at its end, `None` if nothing comes or it is reset.
    pub(crate) async fn more(&mut self, within: Duration) -> Option<usize> {
        timeout(within, self.stream.read_buf(&mut self.read)).await.ok()?.ok()
    }

    /// Bytes that came and are no part of a reply that was asked for.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.read
    }

    /// Takes what was read.
    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        self.read.drain(..len).collect()
    }

    /// Reads to the end of the connection; how it came, and when.
    pub(crate) async fn end(&mut self, within: Duration) -> (End, Duration) {
        let started = Instant::now();
        loop {
            let left = within.saturating_sub(started.elapsed());
            let end = match timeout(left, self.stream.read_buf(&mut self.read)).await {
                Ok(Ok(0)) => End::Closed,
                Ok(Ok(_)) => continue,
                Ok(Err(_)) => End::Reset,
                Err(_) => End::Open,
            };
            return (end, started.elapsed());
        }
    }
}

/// A whole reply at the beginning, and how long it is.
fn parse(bytes: &[u8]) -> Option<(Seen, usize)> {
    let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..head_len].to_vec()).unwrap();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let version = first.next().unwrap().to_owned();
    let status = first.next().unwrap().parse().unwrap();
    let headers: HashMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body_len: usize = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
    let body = bytes.get(head_len..head_len + body_len)?;
    let body = String::from_utf8(body.to_vec()).unwrap();
    Some((Seen { version, status, headers, body }, head_len + body_len))
}
