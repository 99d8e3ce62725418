//! Replay of dead letters that operators asked for, by the owner of their partition, between two batches.
//!
//! An event of a letter is a duplicate if its id is known at any other position: whoever sent it again meanwhile has
//! it stored. The others are inserted at the letter's position, after a read-back; then one transaction counts them
//! ([`super::apply`]). Until that has committed the letter stays asked for, and the next owner does all of it again:
//! rows that an earlier try left are found, kept if they are still to be, and removed if their id has been stored
//! elsewhere since. Postgres counts them either way once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clickhouse::Client;
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use service::error::Chain;
use sqlx::PgPool;
use uuid::Uuid;

use super::apply::{Judged, apply};
use super::known::known;
use super::{DeadError, LetterId, letter};
use crate::batch::{Placed, Range};
use crate::enrich::Enricher;
use crate::erased::Erased;
use crate::own::Owned;
use crate::{below, metrics, repair, rows};

/// How often Postgres is asked whether something is to be replayed.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// And after a replay that failed, or that waits for a proof or a repair.
const PAUSE_PUT_OFF: Duration = Duration::from_secs(5);
/// Letters between two batches.
const LETTERS_MAX: i64 = 50;
/// How long the letters between two batches may take; the one begun is ended.
const ROUND: Duration = Duration::from_secs(2);

/// Who replays, and with what.
#[derive(Clone)]
pub struct Replayer {
    /// Postgres.
    pub pool: PgPool,
    /// ClickHouse.
    pub clickhouse: Client,
    /// The processor.
    pub node: Uuid,
    /// Partitions of the log.
    pub partitions: u32,
    /// How long ClickHouse may take over one insert.
    pub insert_deadline: Duration,
    /// For how long an id is remembered, from its receipt.
    pub dedup_window: Duration,
    /// What gives rows their further columns.
    pub enricher: Enricher,
}

/// An event that is stored now, below the cursor: from now on its id is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The partition.
    pub partition: u32,
    /// Its place there.
    pub position: Position,
    /// Its project.
    pub project: ProjectId,
    /// The hash of its id.
    pub hash: EventHash,
    /// When it was received.
    pub received_at: Micros,
}

/// When to look next.
#[derive(Debug, Default)]
pub struct Asked {
    looked_at: Option<Instant>,
    is_put_off: bool,
    /// By partition: the epoch of its ownership, and the letters that were replayed under it.
    replayed: BTreeMap<u32, (i64, i64)>,
}

impl Asked {
    /// Whether something in the `owned` partitions is to be replayed, if it is time to look.
    ///
    /// # Errors
    /// [`DeadError`]: the partitions must be taken anew, since rows were brought back whose ids may not be known.
    pub async fn is_any(
        &mut self,
        replayer: &Replayer,
        owned: &BTreeMap<u32, Owned>,
    ) -> Result<bool, DeadError> {
        let pause = if self.is_put_off { PAUSE_PUT_OFF } else { LOOK_EVERY };
        if owned.is_empty() || self.looked_at.is_some_and(|at| at.elapsed() < pause) {
            return Ok(false);
        }
        (self.looked_at, self.is_put_off) = (Some(Instant::now()), true);
        self.check_generations(&replayer.pool, owned).await?;
        let is_any = !letter::asked(&replayer.pool, owned, 1).await?.is_empty();
        self.is_put_off = false;
        Ok(is_any)
    }

    /// Replays what was asked for in the `owned` partitions: some letters at most. Must be called while nothing of
    /// these partitions is between their log and their cursors. What is stored now.
    ///
    /// # Errors
    /// [`DeadError`]: the partitions must be taken anew, since what was committed may not be among their ids. For a while
    /// there is nothing to be replayed then, so that no letter holds up what comes in.
    pub async fn replay(
        &mut self,
        replayer: &Replayer,
        owned: &BTreeMap<u32, Owned>,
    ) -> Result<Vec<Stored>, DeadError> {
        self.is_put_off = true;
        let round = replayer.replay_asked(owned, Instant::now()).await?;
        self.is_put_off = round.is_put_off;
        for id in &round.letters {
            if let Some((_, letters)) = self.replayed.get_mut(&id.partition) {
                *letters += 1;
            }
        }
        Ok(round.stored)
    }

    /// Nobody else has changed rows below the cursors since the partitions were taken.
    async fn check_generations(
        &mut self,
        pool: &PgPool,
        owned: &BTreeMap<u32, Owned>,
    ) -> Result<(), DeadError> {
        let now: Vec<(i32, i64)> =
            sqlx::query_as("SELECT partition, ids_generation FROM partition_cursor").fetch_all(pool).await?;
        for (partition, generation) in now {
            let Some(own) = u32::try_from(partition).ok().and_then(|partition| owned.get(&partition)) else {
                continue;
            };
            let replayed = self.replayed.entry(own.partition).or_insert((own.epoch, 0));
            if replayed.0 != own.epoch {
                *replayed = (own.epoch, 0);
            }
            if own.ids_generation + replayed.1 != generation {
                self.is_put_off = false;
                return Err(DeadError::IdsChanged(own.partition));
            }
        }
        Ok(())
    }
}

/// What a round has done.
#[derive(Debug, Default)]
struct Round {
    /// Committed letters.
    letters: Vec<LetterId>,
    stored: Vec<Stored>,
    /// Somebody else holds a partition.
    is_put_off: bool,
}

impl Replayer {
    async fn replay_asked(&self, owned: &BTreeMap<u32, Owned>, begun: Instant) -> Result<Round, DeadError> {
        let asked = letter::asked(&self.pool, owned, LETTERS_MAX).await?;
        let mut round = Round::default();
        for ids in asked.chunk_by(|a, b| a.partition == b.partition) {
            let Some(own) = ids.first().and_then(|first| owned.get(&first.partition)) else { continue };
            let Some(mut held) = below::try_change(&self.pool, own.partition).await? else {
                round.is_put_off = true;
                continue;
            };
            let erased = held.erased().await?;
            for id in ids.iter().take_while(|_| begun.elapsed() < ROUND) {
                if let Some(stored) = self.replay(*id, own, &erased).await? {
                    round.letters.push(*id);
                    round.stored.extend(stored);
                }
            }
            held.release().await;
        }
        Ok(round)
    }

    /// Replays one letter; or gives it back to the dead with what is wrong with it, and returns `None`.
    async fn replay(
        &self,
        id: LetterId,
        own: &Owned,
        erased: &Erased,
    ) -> Result<Option<Vec<Stored>>, DeadError> {
        let Some(mut letter) = letter::load(&self.pool, id).await? else { return Ok(None) };
        let several = letter.read(self.partitions, erased).map_or(0, |events| events.len());
        letter.place(&self.pool, several).await?;
        let events = match letter.read(self.partitions, erased) {
            Ok(events) => events,
            Err(reason) => {
                letter::give_back(&self.pool, id, &reason).await?;
                return Ok(None);
            }
        };
        let stored = match self.bring(id, own, &events).await {
            Err(DeadError::ClickHouse(error)) if !self.has_any(own, &events).await? => {
                let reason = format!("ClickHouse did not take its rows: {}", Chain(&error));
                letter::give_back(&self.pool, id, &reason).await?;
                return Ok(None);
            }
            brought => brought?,
        };
        let judged = Judged { letter: &letter, events: &events, stored: &stored };
        apply(&self.pool, self.node, own, &judged).await?;
        let count = judged.stored_count();
        tracing::info!(letter = %id, events = events.len(), stored = count, "replayed a dead letter");
        for (outcome, n) in [("stored", count), ("duplicate", events.len() - count)] {
            let n = u64::try_from(n).unwrap_or_default();
            ::metrics::counter!(metrics::DEAD_REPLAYED, "outcome" => outcome).increment(n);
        }
        let known = events.iter().zip(&stored).filter(|(_, stored)| **stored).map(|(placed, _)| Stored {
            partition: placed.partition,
            position: placed.position,
            project: placed.envelope.project,
            hash: placed.event.hash,
            received_at: placed.envelope.received_at,
        });
        Ok(Some(known.collect()))
    }

    /// Judges the events and makes ClickHouse have those, and only those, that are stored. Which they are.
    async fn bring(&self, id: LetterId, own: &Owned, events: &[Placed<'_>]) -> Result<Vec<bool>, DeadError> {
        let offset = id.position.offset();
        let range = Range { partition: id.partition, lo: offset, hi: offset + 1, epoch: own.epoch };
        let present = repair::present(&self.clickhouse, &[range]).await?;
        let window = i64::try_from(self.dedup_window.as_micros()).unwrap_or(i64::MAX);
        let first = events.iter().map(|placed| placed.envelope.received_at.0).min().unwrap_or_default();
        let known = known(&self.clickhouse, events, Micros(first.saturating_sub(window)).hour()).await?;
        let own_positions: BTreeSet<Position> = events.iter().map(|placed| placed.position).collect();
        let mut seen = BTreeSet::new();
        let mut stored = Vec::with_capacity(events.len());
        let (mut missing, mut left_over) = (Vec::new(), Vec::new());
        for placed in events {
            let event_id = (placed.envelope.project, placed.event.hash);
            let elsewhere =
                known.get(&event_id).is_some_and(|at| at.iter().any(|at| !own_positions.contains(at)));
            let is_stored = !elsewhere && seen.insert(event_id);
            let is_there = present.contains(&(placed.partition, placed.position));
            match (is_stored, is_there) {
                (true, false) => missing.push(*placed),
                (false, true) => left_over.push(placed.position.number()),
                (true, true) | (false, false) => {}
            }
            stored.push(is_stored);
        }
        if !left_over.is_empty() {
            rows::remove(&self.clickhouse, id.partition, &left_over).await?;
        }
        if !missing.is_empty() {
            if !self.holds_lease(own).await? {
                return Err(DeadError::NotOwner);
            }
            rows::insert(&self.clickhouse, &self.enricher, self.insert_deadline, &missing).await?;
        }
        Ok(stored)
    }

    /// Whether ClickHouse has any of the events at its position.
    async fn has_any(&self, own: &Owned, events: &[Placed<'_>]) -> Result<bool, DeadError> {
        let Some(first) = events.first() else { return Ok(false) };
        let offset = first.position.offset();
        let range = Range { partition: own.partition, lo: offset, hi: offset + 1, epoch: own.epoch };
        let present = repair::present(&self.clickhouse, &[range]).await?;
        Ok(events.iter().any(|placed| present.contains(&(placed.partition, placed.position))))
    }

    /// A suspended processor, whose partition another one has by now, must not insert.
    async fn holds_lease(&self, own: &Owned) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM partition_cursor
                            WHERE partition = $1 AND epoch = $2 AND owner = $3 AND lease_until > now())",
        )
        .bind(i64::from(own.partition))
        .bind(own.epoch)
        .bind(self.node)
        .fetch_one(&self.pool)
        .await
    }
}
