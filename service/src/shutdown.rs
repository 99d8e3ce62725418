//! Stopping in order: first no new work, then the work at hand, then the stores.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The order to stop, which tasks wait for. Cloning is cheap; all clones get the order at once.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Gives the order.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

impl Shutdown {
    /// A pair of the order and those who wait for it.
    #[must_use]
    pub fn new() -> (ShutdownTrigger, Self) {
        let (sender, receiver) = watch::channel(false);
        (ShutdownTrigger(sender), Self(receiver))
    }

    /// Returns when the order has been given, or its giver is gone.
    pub async fn ordered(&self) {
        let mut receiver = self.0.clone();
        let _gone = receiver.wait_for(|ordered| *ordered).await;
    }

    /// Whether the order has been given.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        *self.0.borrow()
    }
}

impl ShutdownTrigger {
    /// Gives the order; once is enough.
    pub fn order(&self) {
        self.0.send_replace(true);
    }
}

/// Returns the name of the first SIGTERM or SIGINT that arrives.
///
/// # Errors
/// If the signals can't be listened for.
pub async fn signalled() -> std::io::Result<&'static str> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
