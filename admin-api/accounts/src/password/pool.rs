use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};

use parking_lot::Mutex;
use service::config::Secret;
use tokio::sync::{Semaphore, oneshot};

use super::hash::{self, Checked, HashCost};

/// Hashes that wait for a thread at most.
const WAITING_MAX: usize = 64;
/// How far a hash steps back from who else wants the core.
const NICE: i32 = 15;

type Work = Box<dyn FnOnce() + Send>;

/// Computes hashes of passwords on threads of their own, only so many at once: each takes a core for some 20 ms, and
/// 19 MiB. Everybody else comes first, so that a flood of sign-ins slows down sign-ins.
#[derive(Clone)]
pub struct Hasher {
    cost: HashCost,
    threads: mpsc::Sender<Work>,
    admitted: Arc<Semaphore>,
    /// What is checked where there is no account, so that it takes as long.
    nobody: Arc<str>,
}

/// Too many passwords wait to be hashed, or one could not be: try again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many people sign in at once")]
pub struct Busy;

impl Hasher {
    /// A pool that computes `at_once` hashes at a time.
    ///
    /// # Errors
    /// [`Busy`] if there can be no hash of that cost, or no thread.
    pub fn new(cost: HashCost, at_once: usize) -> Result<Self, Busy> {
        let at_once = at_once.max(1);
        let nobody = hash::make(&Secret::from(""), [0; 16], cost).ok_or(Busy)?;
        let (threads, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..at_once {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            thread.spawn(move || work_off(&queue)).map_err(|_| Busy)?;
        }
        let admitted = Arc::new(Semaphore::new(at_once + WAITING_MAX));
        Ok(Self { cost, threads, admitted, nobody: nobody.into() })
    }

    /// The password's hash.
    pub(crate) async fn hash(&self, password: Secret, salt: [u8; 16]) -> Result<String, Busy> {
        let cost = self.cost;
        self.run(move || hash::make(&password, salt, cost)).await?.ok_or(Busy)
    }

    /// Whether the password is that of `phc`; without one it takes as long, and is not.
    pub(crate) async fn check(&self, password: Secret, phc: Option<String>) -> Result<Checked, Busy> {
        let (cost, is_somebody) = (self.cost, phc.is_some());
        let phc = phc.unwrap_or_else(|| self.nobody.to_string());
        let checked = self.run(move || hash::check(&password, &phc, cost)).await?;
        let none = Checked { matches: false, outdated: false };
        Ok(checked.filter(|_| is_somebody).unwrap_or(none))
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let place = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Busy)?;
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            let done = work();
            // The place goes with the work: a caller who leaves does not make room for more than run.
            drop(place);
            // Nobody may be waiting any more.
            let _ = answer.send(done);
        });
        self.threads.send(work).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }
}

/// Computes until the pool is gone.
fn work_off(queue: &Mutex<mpsc::Receiver<Work>>) {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "hashes of passwords compete with everything else");
    }
    loop {
        let next = queue.lock().recv();
        let Ok(work) = next else { return };
        // Who waits for it hears that there is no answer.
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

    #[tokio::test]
    async fn nobody_has_no_password() {
        let hasher = Hasher::new(CHEAP, 1).unwrap();
        for password in ["", "x"] {
            assert!(!hasher.check(Secret::from(password), None).await.unwrap().matches);
        }
        let phc = hasher.hash(Secret::from("x"), [1; 16]).await.unwrap();
        assert!(hasher.check(Secret::from("x"), Some(phc)).await.unwrap().matches);
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_a_full_one_says_so_at_once() {
        let hasher = Hasher::new(CHEAP, 2).unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(parking_lot::Mutex::new(held));
        let work = || {
            let (hasher, held) = (hasher.clone(), Arc::clone(&held));
            tokio::spawn(async move {
                let wait = move || {
                    // It ends when nobody can send any more.
                    let _ = held.lock().recv();
                };
                hasher.run(wait).await
            })
        };
        let waiting: Vec<_> = (0..2 + WAITING_MAX).map(|_| work()).collect();
        while hasher.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hasher.hash(Secret::from("x"), [1; 16]).await, Err(Busy));
        drop(release);
        for one in waiting {
            assert_eq!(one.await.unwrap(), Ok(()));
        }
        assert!(hasher.hash(Secret::from("x"), [1; 16]).await.is_ok());
    }
}
