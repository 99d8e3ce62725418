//! The accept loop that every HTTP listener of weir shares: HTTP/1.1 and h2c, or both within TLS, with a limit on
//! connections and a deadline for whatever a client may be slow at.
//!
//! # What ends a connection
//! | a client that | is cut after |
//! |---|---|
//! | connects and does not send a whole first header (with TLS: does not finish the handshake) | `header_deadline` |
//! | has begun a later header and does not end it | `header_deadline` from its first byte |
//! | does not ask for anything any more, whatever else HTTP/2 sends | `idle_deadline`, a quarter more at most; HTTP/2 gets GOAWAY, and is cut `header_deadline` later if it stays |
//! | does not read its reply | `write_deadline` |
//!
//! Bodies are the service's: it knows how large they may be. A connection that ends with bytes of a request still on
//! their way is not closed at once, since a reset could overtake the reply: it is read on for a moment, slowly.
//!
//! # Drain
//! When the order to stop is given, the listener is closed without losing who has connected already. Requests in
//! flight are answered. HTTP/2 gets GOAWAY. HTTP/1 can learn of it from a reply only: for `drain_grace`, connections
//! stay open and each reply carries `Connection: close`; then those that are silent are closed, and what is still open
//! at `drain_deadline` is cut. So only a client that was silent for all of the grace, and sends a request in the
//! instant of the close, can't know what became of it.

mod activity;
mod connection;
mod listener;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::metrics;
use crate::shutdown::Shutdown;
use crate::tls::Tls;
use connection::Protocol;

/// Any error of a service or a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a listener takes.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// What metrics call it.
    pub name: &'static str,
    /// Open connections; one more waits in the kernel's queue.
    pub connections_max: usize,
    /// From a connection's start to the end of its first header, and from the first byte to the end of each later one.
    pub header_deadline: Duration,
    /// From the last reply to the next request's first byte.
    pub idle_deadline: Duration,
    /// From a reply's first byte to its last.
    pub write_deadline: Duration,
    /// From the order to stop to the end of connections that are silent.
    pub drain_grace: Duration,
    /// From the order to stop to the last connection's end; what is still open then is cut.
    pub drain_deadline: Duration,
}

/// What the connections of a listener share.
struct Shared {
    limits: HttpLimits,
    protocol: Protocol,
    tls: Option<Tls>,
    shutdown: Shutdown,
    /// Whether replies are the last of their connections.
    draining: Arc<AtomicBool>,
    /// The order to end at once.
    cut: Shutdown,
}

/// A connection as it was accepted, with its place among the open ones.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
}

/// Serves `listener` until `shutdown` is ordered and the drain has ended. `service_of` makes the service of one
/// connection, given the peer's address.
pub async fn serve<S, F, B>(
    listener: TcpListener,
    tls: Option<Tls>,
    limits: HttpLimits,
    shutdown: Shutdown,
    service_of: F,
) where
    F: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let (cut, cut_ordered) = Shutdown::new();
    let shared = Arc::new(Shared {
        limits,
        protocol: connection::protocol(&limits),
        tls,
        shutdown: shutdown.clone(),
        draining: Arc::default(),
        cut: cut_ordered,
    });
    let start = |Accepted { stream, peer, place }| {
        let life = connection::live(Arc::clone(&shared), stream, peer, service_of(peer));
        tokio::spawn(async move {
            let open = ::metrics::gauge!(metrics::CONNECTIONS, "listener" => limits.name);
            open.increment(1);
            life.await;
            open.decrement(1);
            drop(place);
        });
    };
    loop {
        tokio::select! {
            accepted = listener::accept(&listener, &places) => accepted.map(start),
            () = shutdown.ordered() => break,
        };
    }
    shared.draining.store(true, Ordering::Relaxed);
    let deadline = Instant::now() + limits.drain_deadline;
    listener::close(listener, &places, start).await;
    let all = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    if timeout_at(deadline, places.acquire_many(all)).await.is_err() {
        tracing::warn!(listener = limits.name, "connections were still open at the end of the drain");
        cut.order();
        let _all_gone = timeout_at(deadline + Duration::from_secs(1), places.acquire_many(all)).await;
    }
}
