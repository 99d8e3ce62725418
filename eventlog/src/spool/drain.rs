//! From the spool into the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use service::error::Chain;
use tokio::task::spawn_blocking;

use super::progress::Progress;
use super::record::{original, stored_len};
use super::{ChargeCopies, Spool, aside};
use crate::metrics::{SPOOL_CHARGED_RECORDS, SPOOL_DRAINED_RECORDS};
use crate::{Append, AppendError, EventLog, LogError, Record};

/// Bytes that are read, and may be handed over, at once.
const BATCH_BYTES: usize = 4 << 20;
/// Records that are handed over at once, when all goes well.
const WINDOW_MAX: usize = 4096;
/// How long the log may take to say what has become of a record: longer than Kafka's client tries.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(9);
/// How long to wait for records before the log is looked at without any.
const READ_WAIT: Duration = Duration::from_secs(1);
/// Between two times of asking whether the log answers, and after it refused a record.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// After a record whose outcome is unknown; doubled each time, since each time its events are charged once more.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);
const DOUBT_PAUSE_MAX: Duration = Duration::from_secs(16);
/// After a charge that failed.
const CHARGE_PAUSE: Duration = Duration::from_secs(1);

/// A record on its way.
struct Pending {
    offset: u64,
    record: Append,
    /// An earlier copy may be in the log, and this one is not charged yet.
    unclear: bool,
}

/// How boldly records are handed over.
struct Pace {
    window: usize,
    pause: Duration,
    /// Something went wrong; ask before anything is handed over again.
    doubtful: bool,
}

impl Pace {
    const CAREFUL: Self = Self { window: 1, pause: DOUBT_PAUSE, doubtful: false };
}

impl Spool {
    /// Brings what is spooled into the log, for as long as this is not dropped; dropping it loses nothing. A second
    /// one waits for the first to be dropped. A lasting failure is reported by
    /// [`watch_fatal`](Self::watch_fatal).
    pub async fn drain(&self, charge: &ChargeCopies) {
        let _only_one = self.draining.lock().await;
        if let Err(error) = self.drain_all(charge).await {
            tracing::error!(%error, "the spool can't be drained");
            self.fatal.send_replace(Some(format!("the spool can't be drained: {error}")));
            std::future::pending::<()>().await;
        }
    }

    async fn drain_all(&self, charge: &ChargeCopies) -> Result<(), LogError> {
        let mut connected = self.connected.subscribe();
        // Which of those below `handed` are in the log, a drain knew that is gone.
        let (drained, unclear_below) = {
            let progress = self.progress.lock();
            (progress.drained(), progress.handed())
        };
        let mut reader = self.segments.reader(&[(0, drained)]).await?;
        let mut pace = Pace::CAREFUL;
        loop {
            let records = reader.read(BATCH_BYTES, READ_WAIT).await?;
            let (Some(first), Some(last)) = (records.first(), records.last()) else {
                self.look_at_idle_log().await;
                continue;
            };
            let (oldest_ms, end) = (first.timestamp_ms, last.offset + 1);
            let pending = pending(&records, unclear_below)?;
            if !pending.is_empty() {
                self.oldest_ms.store(oldest_ms, Ordering::Relaxed);
                let log = loop {
                    match self.log() {
                        Some(log) => break Arc::clone(log),
                        // The sender is part of `self`.
                        None => drop(connected.wait_for(|connected| *connected).await),
                    }
                };
                self.hand_over(&*log, pending, &mut pace, charge).await?;
            }
            self.note_drained(&records, end).await?;
        }
    }

    /// With nothing to hand over, an answer is all that can be had of a log before somebody tries it again.
    async fn look_at_idle_log(&self) {
        if let Some(log) = self.log().filter(|_| self.gate.is_closed())
            && log.bounds().await.is_ok()
        {
            self.gate.open();
        }
    }

    async fn note_drained(&self, records: &[Record], end: u64) -> Result<(), LogError> {
        self.note(move |progress| progress.drain(end)).await?;
        self.drained.send_replace(end);
        let bytes = records.iter().map(|record| stored_len(record.payload.len())).sum();
        let is_empty = || self.segments.bounds_of_first().end == end;
        self.level.drain(bytes, is_empty);
        if is_empty() {
            self.oldest_ms.store(i64::MIN, Ordering::Relaxed);
        }
        if let Err(error) = self.segments.trim(0, end).await {
            tracing::warn!(%error, "a drained segment of the spool could not be removed");
        }
        Ok(())
    }

    /// Writes down how far the drain has come, where waiting for the disk holds up nobody.
    async fn note(
        &self,
        change: impl FnOnce(&mut Progress) -> Result<(), LogError> + Send + 'static,
    ) -> Result<(), LogError> {
        let progress = Arc::clone(&self.progress);
        let noted = spawn_blocking(move || change(&mut progress.lock())).await;
        noted.map_err(|error| LogError::Unavailable(error.to_string()))?
    }

    /// Hands records over until the log has confirmed each, or will never take it.
    async fn hand_over(
        &self,
        log: &dyn EventLog,
        mut pending: Vec<Pending>,
        pace: &mut Pace,
        charge: &ChargeCopies,
    ) -> Result<(), LogError> {
        while !pending.is_empty() {
            if pace.doubtful || self.gate.is_closed() {
                until_it_answers(log).await;
            }
            let mut attempt: Vec<Pending> = pending.drain(..pace.window.min(pending.len())).collect();
            self.charge_copies(&mut attempt, charge).await;
            let end = attempt.iter().map(|record| record.offset + 1).max().unwrap_or_default();
            self.note(move |progress| progress.hand(end)).await?;
            let appends = attempt.iter().map(|one| log.append(vec![one.record.clone()], CONFIRM_DEADLINE));
            let outcomes = join_all(appends).await;
            let again = self.sort(attempt, outcomes, pace).await?;
            pending.splice(..0, again);
        }
        Ok(())
    }

    /// Sets the pace by how an attempt ended; which records must be handed over again.
    async fn sort(
        &self,
        attempt: Vec<Pending>,
        outcomes: Vec<Result<(), AppendError>>,
        pace: &mut Pace,
    ) -> Result<Vec<Pending>, LogError> {
        let (mut again, mut confirmed, mut unclear) = (Vec::new(), 0, None);
        for (mut one, outcome) in attempt.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => confirmed += 1,
                Err(AppendError::Rejected(why)) => aside::keep(&self.dir, one.offset, &one.record, &why)?,
                Err(AppendError::Refused(_)) => again.push(one),
                Err(AppendError::Unknown(why)) => {
                    one.unclear = true;
                    again.push(one);
                    unclear = Some(why);
                }
            }
        }
        metrics::counter!(SPOOL_DRAINED_RECORDS).increment(confirmed);
        if again.is_empty() {
            *pace = Pace { window: (pace.window * 2).min(WINDOW_MAX), ..Pace::CAREFUL };
            if confirmed > 0 {
                self.gate.open();
            }
            return Ok(again);
        }
        (pace.window, pace.doubtful) = (1, true);
        match unclear {
            Some(why) => {
                tracing::warn!(
                    why, records = again.len(), pause = ?pace.pause,
                    "the log did not confirm spooled records: they are charged again, then handed over again"
                );
                tokio::time::sleep(pace.pause).await;
                pace.pause = (pace.pause * 2).min(DOUBT_PAUSE_MAX);
            }
            None => tokio::time::sleep(ASK_EVERY).await,
        }
        Ok(again)
    }

    /// Has those charged of which the log may have a copy.
    async fn charge_copies(&self, attempt: &mut [Pending], charge: &ChargeCopies) {
        let frames: Vec<_> =
            attempt.iter().filter(|one| one.unclear).map(|one| one.record.payload.clone()).collect();
        if frames.is_empty() {
            return;
        }
        while let Err(error) = charge(frames.clone()).await {
            tracing::warn!(
                error = %Chain(&error), records = frames.len(),
                "copies can't be charged: the spool is not drained"
            );
            tokio::time::sleep(CHARGE_PAUSE).await;
        }
        metrics::counter!(SPOOL_CHARGED_RECORDS).increment(frames.len() as u64);
        attempt.iter_mut().for_each(|one| one.unclear = false);
    }
}

fn pending(records: &[Record], unclear_below: u64) -> Result<Vec<Pending>, LogError> {
    let mut pending = Vec::with_capacity(records.len());
    for spooled in records {
        if let Some(record) = original(spooled)? {
            let offset = spooled.offset;
            pending.push(Pending { offset, record, unclear: offset < unclear_below });
        }
    }
    Ok(pending)
}

/// Asks for the ends of all partitions, which only their leaders know: nothing is handed over for it.
async fn until_it_answers(log: &dyn EventLog) {
    while let Err(error) = log.bounds().await {
        tracing::debug!(%error, "the log does not answer yet");
        tokio::time::sleep(ASK_EVERY).await;
    }
}
