//! The accept loop that every HTTP listener of weir shares: HTTP/1.1 and h2c, with a limit on connections, a
//! deadline for the header, and a drain in which each connection finishes its request and closes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::shutdown::Shutdown;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a listener takes.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Open connections; one more waits in the kernel's queue.
    pub connections_max: usize,
    /// From a connection's start, or the end of its last reply, to the end of the next header.
    pub header_deadline: Duration,
    /// From the order to stop to the last connection's end; what is still open then is cut.
    pub drain_deadline: Duration,
}

/// Bytes of a request's header, and the limit on the number of fields.
const HEADER_BYTES_MAX: usize = 32 * 1024;
const HEADER_FIELDS_MAX: usize = 100;
/// After `accept` fails (no descriptors left): a pause, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests that one HTTP/2 connection may have open at once.
const STREAMS_MAX: u32 = 256;

/// Serves `listener` until `shutdown` is ordered and the drain has ended. `service_of` makes the service of one
/// connection, given the peer's address.
pub async fn serve<S, F, B>(listener: TcpListener, limits: HttpLimits, shutdown: Shutdown, service_of: F)
where
    F: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let connections = Arc::new(Semaphore::new(limits.connections_max));
    let graceful = GracefulShutdown::new();
    let builder = connection_builder(limits.header_deadline);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = shutdown.ordered() => break,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let service = service_of(peer);
        let io = TokioIo::new(stream);
        let connection = graceful.watch(builder.serve_connection(io, service).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(limits.drain_deadline, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were still open at the end of the drain");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Replies are small and complete: waiting to fill a packet only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%peer, %error, "no TCP_NODELAY");
            }
            Some((stream, peer, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn connection_builder(header_deadline: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(header_deadline)
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(32 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(20)));
    builder
}
