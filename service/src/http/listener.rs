//! Taking connections, and closing the listener without losing one.

use std::sync::Arc;
use std::time::Duration;

use socket2::{SockFilter, SockRef};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::Accepted;

/// After `accept` fails (no descriptors left): a pause, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For a handshake that had begun when the order to stop was given: a round trip around the world.
const HANDSHAKES_END: Duration = Duration::from_millis(300);

/// The next connection, once there is a place for it.
pub(super) async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Replies are small and complete: waiting to fill a packet only delays them.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%peer, %error, "no TCP_NODELAY");
            }
            Some(Accepted { stream, peer, place })
        }
        Err(error) => {
            tracing::warn!(%error, "accept failed");
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Closes the listener. This resets clients in the kernel's queue, perhaps with a request sent already: so first
/// nobody new gets into the queue, and it is emptied. Who knocks meanwhile hears nothing, knocks again after a second,
/// and is refused then, which says for certain that nothing was taken.
pub(super) async fn close(listener: TcpListener, places: &Arc<Semaphore>, start: impl Fn(Accepted)) {
    if let Err(error) = refuse_the_new(&listener) {
        tracing::debug!(%error, "the listener can't be closed to new connections alone");
    }
    let end = Instant::now() + HANDSHAKES_END;
    while let Ok(accepted) = timeout_at(end, accept(&listener, places)).await {
        accepted.map(&start);
    }
}

/// Drops each packet that begins a connection, and lets those through that end its handshake.
fn refuse_the_new(listener: &TcpListener) -> std::io::Result<()> {
    /// Of a TCP header: the byte with the flags, and in it the one of a connection's first packet.
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 2;
    // Classic BPF, see the kernel's Documentation/networking/filter.rst.
    let program = [
        SockFilter::new(0x30, 0, 0, FLAGS_AT), // load that byte
        SockFilter::new(0x45, 0, 1, SYN),      // if the flag is set, go on; else skip one
        SockFilter::new(0x06, 0, 0, 0),        // drop
        SockFilter::new(0x06, 0, 0, u32::MAX), // keep all of it
    ];
    SockRef::from(listener).attach_filter(&program)
}
