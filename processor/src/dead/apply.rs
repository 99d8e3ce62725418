//! What a replayed letter changes in the books: one transaction, under the partition's epoch.

use metering::ledger::{Account, Counts, Usage};
use metering::settle::{self, Settlement};
use schemas::frame::Envelope;
use schemas::id::LeaseId;
use schemas::outcome::Outcome;
use schemas::time::Micros;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::book::columns;
use super::letter::Letter;
use super::unfold::bits;
use super::{DeadError, LetterId};
use crate::batch::Placed;
use crate::own::Owned;

/// The verdict on a letter's events: each, and whether it is stored.
pub(super) struct Judged<'a> {
    pub(super) letter: &'a Letter,
    pub(super) events: &'a [Placed<'a>],
    pub(super) stored: &'a [bool],
}

impl Judged<'_> {
    fn outcomes(&self) -> impl Iterator<Item = (&Placed<'_>, Outcome)> {
        let outcome = |stored: &bool| if *stored { Outcome::Stored } else { Outcome::Duplicate };
        self.events.iter().zip(self.stored.iter().map(outcome))
    }

    pub(super) fn stored_count(&self) -> usize {
        self.stored.iter().filter(|stored| **stored).count()
    }
}

/// Counts the letter's events as what they are, and no longer as dead.
///
/// # Errors
/// If Postgres fails, and whether it committed is not known: the letter's state tells.
/// [`DeadError::NotOwner`] if `node` does not own the partition under `own.epoch`.
pub(super) async fn apply(
    pool: &PgPool,
    node: Uuid,
    own: &Owned,
    judged: &Judged<'_>,
) -> Result<(), DeadError> {
    let mut tx = pool.begin().await?;
    if !count_generation(&mut tx, node, own).await? {
        return Err(DeadError::NotOwner);
    }
    if let Some(envelope) = &judged.letter.envelope {
        metering::ledger::take_dead(&mut tx, account(envelope), judged.letter.events).await?;
    }
    usage(judged).apply(&mut tx).await?;
    settlement(&mut tx, judged).await?.apply(&mut tx).await?;
    count_range(&mut tx, judged).await?;
    close(&mut tx, judged).await?;
    tx.commit().await?;
    Ok(())
}

/// Rows below the cursor change: id stores that were filled before do not know them. `false` for one who does not own
/// the partition.
async fn count_generation(tx: &mut PgConnection, node: Uuid, own: &Owned) -> Result<bool, sqlx::Error> {
    let counted = sqlx::query(
        "UPDATE partition_cursor SET ids_generation = ids_generation + 1
         WHERE partition = $1 AND epoch = $2 AND owner = $3",
    )
    .bind(i64::from(own.partition))
    .bind(own.epoch)
    .bind(node)
    .execute(tx)
    .await?;
    Ok(counted.rows_affected() == 1)
}

fn account(envelope: &Envelope<'_>) -> Account {
    Account {
        tenant: envelope.tenant,
        project: envelope.project,
        period_start: period_start(envelope),
        hour: envelope.received_at.hour(),
    }
}

fn period_start(envelope: &Envelope<'_>) -> Micros {
    Micros(envelope.period_start.saturating_mul(Micros::SECOND))
}

fn usage(judged: &Judged<'_>) -> Usage {
    let mut usage = Usage::default();
    for (placed, outcome) in judged.outcomes() {
        usage.add(account(&placed.envelope), Counts::of(outcome, 1));
    }
    usage
}

/// Takes back what the quota was told of dead events, and tells it what they are.
///
/// A lease that was settled before the letter's owner was known has given back these events as not spent. They count from
/// now on, even where that passes a cap: they were accepted, and another event may have been let in for each.
async fn settlement(tx: &mut PgConnection, judged: &Judged<'_>) -> Result<Settlement, sqlx::Error> {
    let mut settlement = Settlement::default();
    if let Some(Envelope { tenant, lease, .. }) = judged.letter.envelope {
        let period_start = judged.letter.envelope.as_ref().map_or(Micros(0), period_start);
        settlement.add(tenant, period_start, lease, Counts::of(Outcome::Dead, -judged.letter.events));
        for (_, outcome) in judged.outcomes() {
            settlement.add(tenant, period_start, lease, Counts::of(outcome, 1));
        }
        return Ok(settlement);
    }
    let mut outcomes = judged.outcomes().peekable();
    while let Some((placed, outcome)) = outcomes.next() {
        let Envelope { tenant, lease, .. } = placed.envelope;
        let period_start = period_start(&placed.envelope);
        let lease =
            if settle::is_open(tx, tenant, period_start, lease).await? { lease } else { LeaseId::NONE };
        settlement.add(tenant, period_start, lease, Counts::of(outcome, 1));
        // The events of a frame share their envelope.
        while let Some((_, outcome)) = outcomes.next_if(|(next, _)| next.envelope == placed.envelope) {
            settlement.add(tenant, period_start, lease, Counts::of(outcome, 1));
        }
    }
    Ok(settlement)
}

async fn count_range(tx: &mut PgConnection, judged: &Judged<'_>) -> Result<(), sqlx::Error> {
    let LetterId { partition, position } = judged.letter.id;
    let stored = judged.outcomes().filter(|(_, outcome)| *outcome == Outcome::Stored);
    let xor_hash = stored.fold(0, |xor, (placed, _)| xor ^ placed.event.hash.low_bits());
    let changed = sqlx::query(
        "UPDATE batch_ledger SET stored = stored + $3, duplicate = duplicate + $4, dead = dead - $5, xor_hash = xor_hash # $6
         WHERE partition = $1 AND lo <= $2 AND $2 < hi",
    )
    .bind(i64::from(partition))
    .bind(i64::try_from(position.offset()).unwrap_or(i64::MAX))
    .bind(count(judged.stored_count()))
    .bind(count(judged.stored.len() - judged.stored_count()))
    .bind(judged.letter.events)
    .bind(xor_hash)
    .execute(tx)
    .await?;
    one_row(&changed)
}

async fn close(tx: &mut PgConnection, judged: &Judged<'_>) -> Result<(), sqlx::Error> {
    let (partition, position) = columns(Some(judged.letter.id));
    let envelope = judged.events.first().map(|placed| placed.envelope);
    let changed = sqlx::query(
        "UPDATE dead_letter
         SET state = 'replayed', replayed_at = now(), stored = $3, duplicate = $4, stored_events = $5,
             tenant_id = coalesce($6, tenant_id), project_id = coalesce($7, project_id)
         WHERE partition = $1 AND position = $2::text::numeric AND state = 'asked'",
    )
    .bind(partition)
    .bind(position)
    .bind(count(judged.stored_count()))
    .bind(count(judged.stored.len() - judged.stored_count()))
    .bind(bits(judged.stored))
    .bind(envelope.map(|envelope| envelope.tenant.0))
    .bind(envelope.map(|envelope| envelope.project.0))
    .execute(tx)
    .await?;
    one_row(&changed)
}

/// What must have changed has: if not, the books are not what they were taken for, and nothing is committed.
fn one_row(changed: &sqlx::postgres::PgQueryResult) -> Result<(), sqlx::Error> {
    if changed.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
