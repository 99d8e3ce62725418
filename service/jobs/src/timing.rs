//! How a worker keeps time.

use std::time::Duration;

/// How a worker keeps time.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For how long a claim holds without being renewed: after a crash, its job waits so long.
    pub lease: Duration,
    /// How often to look for due jobs, whether or not one was announced.
    pub look_every: Duration,
    /// How long runs under way may go on after the order to stop.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            look_every: Duration::from_secs(1),
            grace: Duration::from_secs(5),
        }
    }
}
