//! Pauses of a processor that could not make a partition ready, and whether it has a share meanwhile.

use std::time::Duration;

use parking_lot::Mutex;
use service::store::StoreError;
use tokio::time::Instant;

use super::{PAUSE_FIRST, PAUSE_LAST};
use crate::fill::IDS;

/// The last pause after the disk of the ids has failed: room must be made there.
const DISK_PAUSE_LAST: Duration = Duration::from_secs(30);
/// Failures so long apart have nothing to do with each other.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// How long a processor that serves nothing has no share, before it tries once more.
const ASIDE: Duration = Duration::from_secs(60);

/// It outlives sessions.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failed_at: Option<Instant>,
    pause: Duration,
    /// The first failure since something was made ready.
    failing_since: Option<Instant>,
    /// Until then the processor has no share; after that it tries once.
    aside_until: Option<Instant>,
    serves: bool,
}

impl Rest {
    /// A partition could not be made ready, or not be served any more. After how long it may be taken again.
    pub(super) fn fails(&self, error: &StoreError) -> Duration {
        let of_disk = matches!(error, StoreError::Retry { store, .. } if *store == IDS);
        let last = if of_disk { DISK_PAUSE_LAST } else { PAUSE_LAST };
        let (state, now) = (&mut *self.0.lock(), Instant::now());
        let is_new = state.failed_at.is_none_or(|at| now - at > FORGOTTEN_AFTER);
        state.pause = if is_new { PAUSE_FIRST } else { (state.pause * 2).min(last) };
        state.failed_at = Some(now);
        state.failing_since.get_or_insert(now);
        if state.aside_until.is_some_and(|until| until <= now) {
            state.aside_until = Some(now + ASIDE);
        }
        state.pause
    }

    /// How many partitions are served now.
    pub(super) fn serves(&self, partitions: usize) {
        self.0.lock().serves = partitions > 0;
    }

    /// A partition was made ready.
    pub(super) fn succeeds(&self) {
        let state = &mut *self.0.lock();
        (state.failing_since, state.aside_until) = (None, None);
    }

    /// Whether partitions may be taken.
    pub(super) fn is_over(&self) -> bool {
        let state = self.0.lock();
        state.failed_at.is_none_or(|at| at.elapsed() >= state.pause)
    }

    /// Whether others must leave this processor a share of the partitions: not if it has served nothing and failed for
    /// longer than `patience`. It takes what nobody owns then, and has a share again after a minute.
    pub(super) fn has_share(&self, patience: Duration) -> bool {
        let (state, now) = (&mut *self.0.lock(), Instant::now());
        let Some(since) = state.failing_since.filter(|_| !state.serves) else { return true };
        if state.aside_until.is_none() && now - since >= patience {
            state.aside_until = Some(now + ASIDE);
        }
        state.aside_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn disk() -> StoreError {
        StoreError::retry(IDS, "full")
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_last_and_begin_again_after_a_minute_without_failures() {
        let rest = Rest::default();
        assert!(rest.is_over());
        for (error, last) in [(StoreError::retry("a store", "away"), PAUSE_LAST), (disk(), DISK_PAUSE_LAST)] {
            let mut pause = PAUSE_FIRST;
            while pause < last {
                assert_eq!(rest.fails(&error), pause);
                tokio::time::advance(pause.checked_sub(Duration::from_millis(1)).unwrap()).await;
                assert!(!rest.is_over(), "{pause:?}");
                tokio::time::advance(Duration::from_millis(1)).await;
                assert!(rest.is_over(), "{pause:?}");
                pause *= 2;
            }
            assert_eq!(rest.fails(&error), last);
            tokio::time::advance(last).await;
            assert!(rest.is_over());
            tokio::time::advance(FORGOTTEN_AFTER).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_serves_nothing_and_fails_has_no_share_for_a_minute() {
        let rest = Rest::default();
        assert!(!rest.fails(&disk()).is_zero());
        assert!(rest.has_share(PATIENCE));
        tokio::time::advance(PATIENCE).await;
        assert!(!rest.has_share(PATIENCE));
        rest.serves(1);
        assert!(rest.has_share(PATIENCE));
        rest.serves(0);
        assert!(!rest.has_share(PATIENCE));
        tokio::time::advance(ASIDE).await;
        assert!(rest.has_share(PATIENCE));
        assert!(!rest.fails(&disk()).is_zero());
        assert!(!rest.has_share(PATIENCE), "the one try failed");
        rest.succeeds();
        assert!(rest.has_share(PATIENCE));
    }
}
