//! Waiting for something to become true, instead of sleeping.

use std::time::{Duration, Instant};

/// Asks until it is so, or fails the test after `within`, naming `what`. Returns how long it took.
pub async fn eventually<F>(what: &str, within: Duration, mut is_so: F) -> Duration
where
    F: AsyncFnMut() -> bool,
{
    let started = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        if is_so().await {
            return started.elapsed();
        }
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        // Between two questions.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
