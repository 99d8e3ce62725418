//! When an hour has closed: all that was received in it is processed, as far as anybody knows.

use eventlog::EventLog;
use schemas::time::Micros;
use service::clock::Clock;
use service::store::StoreError;
use sqlx::PgPool;

use crate::db::partition_cursor;

/// From an hour's end to the moment from which on what is appended is not of it: requests in flight, and clocks. What
/// stands in a spool for longer comes late, and is sealed then.
const GRACE: i64 = 5 * 60 * Micros::SECOND;

/// Which hours have closed.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// When the log's ends were noted last, and what they were.
    noted: Option<(Micros, Vec<u64>)>,
    before: Option<Micros>,
}

impl Closed {
    /// Hours before this one have closed; `None`: that is not known yet.
    pub(super) async fn look(
        &mut self,
        pool: &PgPool,
        log: &dyn EventLog,
        clock: &Clock,
    ) -> Result<Option<Micros>, StoreError> {
        if let Some((at, ends)) = &self.noted {
            let cursors = partition_cursor::all(pool).await?;
            let passed =
                (0..).zip(ends).all(|(partition, end)| cursors.get(&partition).is_some_and(|at| at >= end));
            if !passed {
                return Ok(self.before);
            }
            self.before = Some(Micros(at.0.saturating_sub(GRACE)).hour());
        }
        // The earlier of two clocks: a seal of a running hour can never be taken back.
        let now = Micros(clock.read().earliest());
        self.noted = Some((now, log.bounds().await?.iter().map(|bounds| bounds.end).collect()));
        Ok(self.before)
    }
}
