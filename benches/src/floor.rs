//! The server that no server can beat: it reads the body and answers as weir would. What weir does on top of it
//! is weir's to justify.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Answers every request with "accepted `batch`" once its body has been read, until `stop` is ready.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, batch: u32, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let reply = Bytes::from(format!(r#"{{"accepted":{batch},"duplicate_of_request":0,"rejected":[]}}"#));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            () = &mut stop => return Ok(()),
        };
        while connections.try_join_next().is_some() {}
        stream.set_nodelay(true)?;
        let reply = reply.clone();
        let service = service_fn(move |request| answer(request, reply.clone()));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, reply: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Full::new(reply));
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
