//! Turns: of bodies that take long to work on, one of each tenant at a time, and only so many in all.
//!
//! Ten megabytes of JSON take a core for tens of milliseconds, and a log for as long again. Whoever sends many of them
//! waits for himself; small bodies never wait for a turn, and find a worker that is free.

use std::num::NonZero;
use std::sync::Arc;

use schemas::problem::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::directory::Tenant;

/// Bytes of a body from which on it takes turns: below, it is read in less than a millisecond.
const LARGE_BYTES: usize = 256 * 1024;
/// The same of a compressed one, which may grow.
const LARGE_COMPRESSED_BYTES: usize = 16 * 1024;

/// Whose turn it is, in one of the tenants or among those who are not known yet.
#[derive(Debug)]
pub struct Turn(Arc<Semaphore>);

impl Default for Turn {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// All turns of the node.
#[derive(Debug)]
pub struct Turns {
    strangers: Turn,
    /// Half of the cores.
    cores: Semaphore,
}

/// How a body is worked on.
#[derive(Debug)]
pub enum Work {
    /// At once.
    Small,
    /// When a core is free for it, and none of the tenant's others is, for as long as this is kept.
    Large(OwnedSemaphorePermit),
}

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { strangers: Turn::default(), cores: Semaphore::new(cores.div_ceil(2).max(1)) }
    }
}

impl Turns {
    /// Waits for the turn of a body of `bytes`.
    ///
    /// # Errors
    /// 429 if others of the tenant's took so long that it did not come by `deadline`.
    pub async fn wait(
        &self,
        bytes: usize,
        is_compressed: bool,
        tenant: Option<&Tenant>,
        deadline: Instant,
    ) -> Result<Work, Problem> {
        if bytes < if is_compressed { LARGE_COMPRESSED_BYTES } else { LARGE_BYTES } {
            return Ok(Work::Small);
        }
        let turn = tenant.map_or(&self.strangers, |tenant| &tenant.turn);
        match timeout_at(deadline, Arc::clone(&turn.0).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Work::Large(turn)),
            Ok(Err(_)) | Err(_) => Err(Problem::new(
                Code::RateLimited,
                "large requests are worked on one after the other, and the ones before took all the time there was: send fewer at once",
            )),
        }
    }

    /// Does what takes a large body long. A core is left for those who are small.
    pub async fn run<T>(&self, work: &Work, job: impl FnOnce() -> T) -> T {
        let _core = match work {
            Work::Small => None,
            // Never closed, so always a permit.
            Work::Large(_) => self.cores.acquire().await.ok(),
        };
        job()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_large_body_waits_for_the_one_before_and_a_small_one_for_nobody() {
        let (turns, soon) = (Turns::default(), Duration::from_millis(20));
        let large = async || turns.wait(LARGE_BYTES, false, None, Instant::now() + soon).await;
        let first = large().await.unwrap();
        assert!(matches!(first, Work::Large(_)));
        assert_eq!(large().await.unwrap_err().code, Code::RateLimited);
        for (bytes, is_compressed) in [(LARGE_BYTES - 1, false), (LARGE_COMPRESSED_BYTES - 1, true)] {
            let small = turns.wait(bytes, is_compressed, None, Instant::now()).await.unwrap();
            assert!(matches!(small, Work::Small));
        }
        assert!(turns.wait(LARGE_COMPRESSED_BYTES, true, None, Instant::now() + soon).await.is_err());
        drop(first);
        assert_eq!(turns.run(&large().await.unwrap(), || 7).await, 7);
    }
}
