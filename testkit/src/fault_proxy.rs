//! A proxy between an SDK and weir that does harm by a script.
//!
//! It understands HTTP/1.1, so that it can answer by itself, and end a connection at a chosen moment of a request.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is forwarded, and so is its reply.
    None,
    /// The proxy answers with this status, and with `Retry-After` in seconds; weir never sees the request.
    Refused(u16, Option<u32>),
    /// The connection is reset; weir never sees the request.
    Reset,
    /// weir receives it and answers; the connection is reset instead of bringing the reply.
    ReplyLost,
}

/// A request as the proxy saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// Path and query.
    pub path: String,
    /// What was done to it.
    pub fault: Fault,
    /// What weir answered, if it was asked.
    pub status: Option<u16>,
}

/// A running proxy; it ends when it is dropped.
pub struct FaultProxy {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
    task: JoinHandle<()>,
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FaultProxy {
    /// Starts a proxy to `upstream`. `script` says what happens to the request of that number, counted from 0 in the
    /// order of arrival.
    pub async fn start(
        upstream: SocketAddr,
        script: impl Fn(usize) -> Fault + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let line = Arc::new(Line {
            upstream,
            script: Box::new(script),
            seen: Arc::clone(&seen),
            client: Client::builder(TokioExecutor::new()).build_http(),
        });
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&line).connection(stream));
            }
        });
        Self { address, seen, task }
    }

    /// All requests so far, in the order of arrival.
    #[must_use]
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What connections share.
struct Line {
    upstream: SocketAddr,
    script: Box<dyn Fn(usize) -> Fault + Send + Sync>,
    seen: Arc<Mutex<Vec<SeenRequest>>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, ResetNow>> + Send>>;

/// The connection is to be reset.
#[derive(Debug, thiserror::Error)]
#[error("the script resets the connection")]
struct ResetNow;

impl Line {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(move |request| {
            let line = Arc::clone(&self);
            let answer: Answer = Box::pin(async move { line.answer(request).await });
            answer
        });
        let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)).await;
        let stream = connection.into_parts().io.into_inner();
        if ended.is_err() {
            // The close then resets, as a crash or a middlebox does.
            let _ = stream.set_zero_linger();
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, ResetNow> {
        let number = self.note(&request);
        let fault = (self.script)(number);
        self.change(number, |seen| seen.fault = fault);
        match fault {
            Fault::Reset => Err(ResetNow),
            Fault::Refused(status, retry_after) => {
                let _ = request.into_body().collect().await;
                Ok(refusal(status, retry_after))
            }
            Fault::None => Ok(self.forward(number, request).await),
            Fault::ReplyLost => {
                self.forward(number, request).await;
                Err(ResetNow)
            }
        }
    }

    fn note(&self, request: &Request<Incoming>) -> usize {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(SeenRequest { path: request.uri().to_string(), fault: Fault::None, status: None });
        seen.len() - 1
    }

    fn change(&self, number: usize, change: impl FnOnce(&mut SeenRequest)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner)[number]);
    }

    /// weir's reply, or 502 if none came.
    async fn forward(&self, number: usize, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (mut parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return refusal(502, None) };
        parts.uri = format!("http://{}{}", self.upstream, parts.uri).parse::<Uri>().unwrap();
        for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
            parts.headers.remove(name);
        }
        let request = Request::from_parts(parts, Full::new(body.to_bytes()));
        let Ok(reply) = self.client.request(request).await else { return refusal(502, None) };
        let (mut parts, body) = reply.into_parts();
        let Ok(body) = body.collect().await else { return refusal(502, None) };
        self.change(number, |seen| seen.status = Some(parts.status.as_u16()));
        parts.headers.remove(TRANSFER_ENCODING);
        Response::from_parts(parts, Full::new(body.to_bytes()))
    }
}

/// What load balancers answer: text, not a problem document.
fn refusal(status: u16, retry_after: Option<u32>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from_static(b"no")));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(seconds) = retry_after {
        reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    reply
}
