//! One keep-alive connection, driven by the task that uses it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::body::Body;
use super::target::Target;

/// Bytes of a reply: enough for a batch of which every event is rejected with its reason.
const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A reply that came whole.
#[derive(Debug)]
pub(crate) struct RawReply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

/// An open connection. It makes progress only while one of its methods is awaited.
pub(crate) struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<TcpStream>, Full<Bytes>>,
    closed: bool,
}

impl Link {
    pub(crate) async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address()).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection, closed: false })
    }

    /// Whether a request may be sent: the server has not closed the connection since the last one. Nothing has
    /// been sent if it has.
    pub(crate) async fn is_ready(&mut self) -> bool {
        let Self { sender, connection, closed } = self;
        poll_fn(|cx| {
            // First, so that a close that has arrived by now is noticed.
            if !*closed && Pin::new(&mut *connection).poll(cx).is_ready() {
                *closed = true;
            }
            if *closed { Poll::Ready(false) } else { sender.poll_ready(cx).map(|ready| ready.is_ok()) }
        })
        .await
    }

    /// Sends one request and reads its whole reply.
    pub(crate) async fn exchange(
        &mut self,
        target: &Target,
        key: &HeaderValue,
        body: &Body,
        gzip: bool,
    ) -> anyhow::Result<RawReply> {
        let Self { sender, connection, closed } = self;
        let reply = async {
            let response = sender.send_request(request(target, key, body, gzip)).await?;
            let status = response.status();
            let retry_after = response.headers().get(RETRY_AFTER).cloned();
            let body = Limited::new(response.into_body(), REPLY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
            Ok(RawReply { status, retry_after, body })
        };
        let mut reply = pin!(reply);
        poll_fn(|cx| {
            if let Poll::Ready(reply) = reply.as_mut().poll(cx) {
                return Poll::Ready(reply);
            }
            if !*closed && Pin::new(&mut *connection).poll(cx).is_ready() {
                *closed = true;
            }
            // What the connection has just read may be the end of the reply.
            reply.as_mut().poll(cx)
        })
        .await
    }
}

fn request(target: &Target, key: &HeaderValue, body: &Body, gzip: bool) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.bytes.clone()));
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = target.uri.clone();
    let headers = request.headers_mut();
    headers.insert(HOST, target.host.clone());
    headers.insert(AUTHORIZATION, key.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("weir-load/", env!("CARGO_PKG_VERSION"))));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    request
}
