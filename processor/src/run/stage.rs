//! How long a batch spends in each stage.

use tokio::time::Instant;

use crate::metrics;

pub(super) struct Stage(Instant);

impl Stage {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Since when it was the last stage.
    pub(super) fn begun(&self) -> std::time::Instant {
        self.0.into_std()
    }

    pub(super) fn ends(&mut self, stage: &'static str) {
        let now = Instant::now();
        let seconds = now.duration_since(self.0).as_secs_f64();
        ::metrics::histogram!(metrics::STAGE_SECONDS, "stage" => stage).record(seconds);
        self.0 = now;
    }
}
