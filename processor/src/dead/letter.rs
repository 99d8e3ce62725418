//! A dead letter whose replay was asked for, as Postgres has it.

use std::collections::BTreeMap;

use schemas::frame::{Envelope, Frame};
use schemas::id::Position;
use sqlx::PgPool;

use super::LetterId;
use super::book::{self, columns};
use super::unfold::{MORE_FIRST, unfold};
use crate::batch::Placed;
use crate::erased::Erased;
use crate::own::Owned;

/// A letter that was asked for.
pub(super) struct Letter {
    pub(super) id: LetterId,
    /// Dead events that it was counted as.
    pub(super) events: i64,
    /// What they were counted under; `None`: under no tenant.
    pub(super) envelope: Option<Envelope<'static>>,
    /// The bytes name another tenant than the one that the events were counted under, or none.
    of_another: bool,
    events_before: u16,
    more_at: Option<u16>,
    raw: Vec<u8>,
}

impl Letter {
    /// Its events at their positions.
    ///
    /// # Errors
    /// Why it stays dead.
    pub(super) fn read(&self, partitions: u32, erased: &Erased) -> Result<Vec<Placed<'_>>, String> {
        let more_at = self.more_at.unwrap_or(MORE_FIRST);
        let events = unfold(self.id, &self.raw, self.events_before, more_at, partitions)?;
        if self.of_another {
            return Err("its envelope is not the one that its events were counted under".to_owned());
        }
        if events.iter().any(|placed| erased.covers(placed)) {
            return Err("it holds events that were erased since: discard it".to_owned());
        }
        Ok(events)
    }

    /// Settles at which index its second event stands, if it has several: for good, so that every try and every later
    /// reading give the same.
    pub(super) async fn place(&mut self, pool: &PgPool, events: usize) -> Result<(), sqlx::Error> {
        if events < 2 || self.more_at.is_some() {
            return Ok(());
        }
        let (partition, position) = columns(Some(self.id));
        let record = Position::first_of(self.id.position.offset());
        let (_, record) = columns(Some(LetterId { position: record, ..self.id }));
        let more_at: i32 = sqlx::query_scalar(
            "UPDATE dead_letter SET more_events = $4, more_at = (
                 SELECT coalesce(max(other.more_at + other.more_events), $5) FROM dead_letter other
                 WHERE other.partition = $1 AND other.position >= $3::text::numeric
                   AND other.position < $3::text::numeric + 65536)
             WHERE partition = $1 AND position = $2::text::numeric AND state = 'asked' RETURNING more_at",
        )
        .bind(partition)
        .bind(position)
        .bind(record)
        .bind(i32::try_from(events - 1).unwrap_or(i32::MAX))
        .bind(i32::from(MORE_FIRST))
        .fetch_one(pool)
        .await?;
        self.more_at = Some(u16::try_from(more_at).unwrap_or(u16::MAX));
        Ok(())
    }
}

/// The first letters that were asked for in the `owned` partitions, in order.
pub(super) async fn asked(
    pool: &PgPool,
    owned: &BTreeMap<u32, Owned>,
    most: i64,
) -> Result<Vec<LetterId>, sqlx::Error> {
    let partitions: Vec<i32> =
        owned.keys().map(|partition| i32::try_from(*partition).unwrap_or(i32::MAX)).collect();
    let rows: Vec<(i32, String)> = sqlx::query_as(
        "SELECT partition, position::text FROM dead_letter WHERE state = 'asked' AND partition = ANY($1)
         ORDER BY dead_letter.partition, dead_letter.position LIMIT $2",
    )
    .bind(partitions)
    .bind(most)
    .fetch_all(pool)
    .await?;
    Ok(rows.iter().map(|(partition, position)| book::id(*partition, position)).collect())
}

/// The letter, if it is still asked for.
pub(super) async fn load(pool: &PgPool, id: LetterId) -> Result<Option<Letter>, sqlx::Error> {
    type Row = (i64, Option<i64>, i32, Option<i32>, Vec<u8>);
    let (partition, position) = columns(Some(id));
    let row: Option<Row> = sqlx::query_as(
        "SELECT events, tenant_id, events_before, more_at, raw FROM dead_letter
         WHERE partition = $1 AND position = $2::text::numeric AND state = 'asked'",
    )
    .bind(partition)
    .bind(position)
    .fetch_optional(pool)
    .await?;
    let index = |index: i32| u16::try_from(index).unwrap_or_default();
    Ok(row.map(|(events, tenant, events_before, more_at, raw)| {
        let envelope = Frame::parse(&raw).ok().map(|frame| without_agent(&frame.envelope));
        let (events_before, more_at) = (index(events_before), more_at.map(index));
        let of_another = tenant.is_some() && tenant != envelope.map(|envelope| envelope.tenant.0);
        let envelope = envelope.filter(|_| tenant.is_some());
        Letter { id, events, envelope, of_another, events_before, more_at, raw }
    }))
}

/// Without what is of no account.
fn without_agent(envelope: &Envelope<'_>) -> Envelope<'static> {
    let &Envelope {
        tenant,
        project,
        key,
        lease,
        period_start,
        received_at,
        request_id,
        client_ip,
        user_agent: _,
    } = envelope;
    let user_agent = "";
    Envelope { tenant, project, key, lease, period_start, received_at, request_id, client_ip, user_agent }
}

/// Makes the letter dead again, with what is wrong with it now.
pub(super) async fn give_back(pool: &PgPool, id: LetterId, reason: &str) -> Result<(), sqlx::Error> {
    let (partition, position) = columns(Some(id));
    sqlx::query(
        "UPDATE dead_letter SET state = 'dead', reason = $3
         WHERE partition = $1 AND position = $2::text::numeric AND state = 'asked'",
    )
    .bind(partition)
    .bind(position)
    .bind(reason)
    .execute(pool)
    .await?;
    tracing::warn!(letter = %id, reason, "a dead letter could not be replayed");
    Ok(())
}
