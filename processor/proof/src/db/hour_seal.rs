//! `hour_seal`: what was stored of each tenant's closed hours.

use std::collections::{BTreeMap, HashMap};

use evidence::{Hash, KeyId, Root, Seal, Signature, Signed};
use schemas::id::TenantId;
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};

use super::timestamp;
use crate::books::{Sealed, Span};

/// Events that usage has and no seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) span: Span,
    pub(crate) events: u64,
    /// Of the whole span, those whose rows were taken out.
    pub(crate) erased: u64,
}

/// What is not sealed of an hour, by tenant and period.
pub(crate) async fn due(executor: impl PgExecutor<'_>, hour: Micros) -> Result<Vec<Due>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, i64)> = sqlx::query_as(
        "WITH used AS (
             SELECT tenant_id, period_start, sum(stored)::bigint AS events FROM usage_hour
             WHERE meter = $1 AND hour = $2 AND stored > 0 GROUP BY tenant_id, period_start),
         sealed AS (
             SELECT tenant_id, period_start, sum(events)::bigint AS events FROM hour_seal
             WHERE hour = $2 GROUP BY tenant_id, period_start)
         SELECT u.tenant_id, (extract(epoch FROM u.period_start) * 1000000)::bigint,
                u.events - coalesce(s.events, 0),
                coalesce((SELECT sum(e.rows)::bigint FROM erased_hour e
                          WHERE (e.tenant_id, e.hour, e.period_start) = (u.tenant_id, $2, u.period_start)), 0)
         FROM used u LEFT JOIN sealed s USING (tenant_id, period_start)
         WHERE u.events > coalesce(s.events, 0) ORDER BY u.tenant_id, u.period_start",
    )
    .bind(METER_EVENTS)
    .bind(timestamp(hour))
    .fetch_all(executor)
    .await?;
    let due = |(tenant, period, events, erased): (i64, i64, i64, i64)| Due {
        span: Span { hour, tenant: TenantId(tenant), period: Micros(period) },
        events: events.unsigned_abs(),
        erased: erased.unsigned_abs(),
    };
    Ok(rows.into_iter().map(due).collect())
}

/// The first hour at or after `from` and before `to` in which anything was stored.
pub(crate) async fn next_hour(
    executor: impl PgExecutor<'_>,
    (from, to): (Micros, Micros),
) -> Result<Option<Micros>, sqlx::Error> {
    let hour: Option<i64> = sqlx::query_scalar(
        "SELECT (extract(epoch FROM min(hour)) * 1000000)::bigint FROM usage_hour WHERE hour >= $1 AND hour < $2",
    )
    .bind(timestamp(from))
    .bind(timestamp(to))
    .fetch_one(executor)
    .await?;
    Ok(hour.map(Micros))
}

/// By span of this hour that is sealed: the offsets before which all sealed events stand.
pub(crate) async fn ends(
    executor: impl PgExecutor<'_>,
    hour: Micros,
    tenants: &[i64],
) -> Result<BTreeMap<Span, Vec<u64>>, sqlx::Error> {
    let rows: Vec<(i64, i64, Vec<i64>)> = sqlx::query_as(
        "SELECT DISTINCT ON (tenant_id, period_start)
                tenant_id, (extract(epoch FROM period_start) * 1000000)::bigint, ends
         FROM hour_seal WHERE hour = $1 AND tenant_id = ANY($2)
         ORDER BY tenant_id, period_start, number DESC",
    )
    .bind(timestamp(hour))
    .bind(tenants)
    .fetch_all(executor)
    .await?;
    let span = |(tenant, period, ends): (i64, i64, Vec<i64>)| {
        let span = Span { hour, tenant: TenantId(tenant), period: Micros(period) };
        (span, ends.into_iter().map(i64::unsigned_abs).collect())
    };
    Ok(rows.into_iter().map(span).collect())
}

/// The last seal of each of these tenants that has one: its number and its hash.
pub(crate) async fn heads(
    executor: impl PgExecutor<'_>,
    tenants: &[i64],
) -> Result<BTreeMap<TenantId, (u64, Hash)>, sqlx::Error> {
    let rows: Vec<(i64, i64, [u8; 32])> = sqlx::query_as(
        "SELECT s.tenant_id, s.number, s.hash FROM unnest($1::bigint[]) AS t (id)
         CROSS JOIN LATERAL (SELECT tenant_id, number, hash FROM hour_seal
                             WHERE tenant_id = t.id ORDER BY number DESC LIMIT 1) AS s",
    )
    .bind(tenants)
    .fetch_all(executor)
    .await?;
    let head =
        |(tenant, number, hash): (i64, i64, _)| (TenantId(tenant), (number.unsigned_abs(), Hash(hash)));
    Ok(rows.into_iter().map(head).collect())
}

/// Adds seals. None is added if a number is taken.
pub(crate) async fn insert(tx: &mut PgConnection, seals: &[Signed]) -> Result<(), sqlx::Error> {
    for signed in seals {
        let seal = &signed.seal;
        let ends: Vec<i64> = seal.offsets.iter().map(|end| i64::try_from(*end).unwrap_or(i64::MAX)).collect();
        sqlx::query(
            "INSERT INTO hour_seal (tenant_id, number, hour, period_start, events, quantity, root, ends, previous,
                                    hash, key_id, signature)
             VALUES ($1, $2, to_timestamp($3), to_timestamp($4), $5, $6::numeric, $7, $8, $9, $10, $11, $12)",
        )
        .bind(seal.tenant.0)
        .bind(i64::try_from(seal.number).unwrap_or(i64::MAX))
        .bind(seal.hour)
        .bind(seal.period)
        .bind(i64::try_from(seal.root.events).unwrap_or(i64::MAX))
        .bind(seal.root.quantity.to_string())
        .bind(seal.root.hash.0)
        .bind(ends)
        .bind(seal.previous.0)
        .bind(seal.hash().0)
        .bind(signed.key.to_string())
        .bind(signed.signature.0)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// A seal as it is kept, and the hash that is kept with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) signed: Signed,
    pub(crate) hash: Hash,
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT tenant_id, number, extract(epoch FROM hour)::bigint AS hour,
                    extract(epoch FROM period_start)::bigint AS period, events, quantity::text AS quantity, root, ends,
                    previous, hash, key_id, signature
             FROM hour_seal ",
            $condition
        )
    };
}

/// The seals of a tenant behind `number`, in order, `most` at most.
pub(crate) async fn after(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    number: u64,
    most: i64,
) -> Result<Vec<Kept>, sqlx::Error> {
    let rows = sqlx::query(select!("WHERE tenant_id = $1 AND number > $2 ORDER BY number LIMIT $3"))
        .bind(tenant.0)
        .bind(i64::try_from(number).unwrap_or(i64::MAX))
        .bind(most)
        .fetch_all(executor)
        .await?;
    rows.iter().map(kept).collect()
}

fn kept(row: &PgRow) -> Result<Kept, sqlx::Error> {
    let number = |name: &str| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    let text = |name: &str| row.try_get::<String, _>(name);
    let bad = |name: &str| sqlx::Error::Decode(format!("hour_seal.{name} is not what it can be").into());
    let root = Root {
        events: number("events")?,
        quantity: text("quantity")?.parse().map_err(|_| bad("quantity"))?,
        hash: Hash(row.try_get("root")?),
    };
    let seal = Seal {
        tenant: TenantId(row.try_get("tenant_id")?),
        number: number("number")?,
        hour: row.try_get("hour")?,
        period: row.try_get("period")?,
        root,
        offsets: row.try_get::<Vec<i64>, _>("ends")?.into_iter().map(i64::unsigned_abs).collect(),
        previous: Hash(row.try_get("previous")?),
    };
    let key: KeyId = text("key_id")?.parse().map_err(|_| bad("key_id"))?;
    let signature = Signature(row.try_get("signature")?);
    Ok(Kept { signed: Signed { seal, key, signature }, hash: Hash(row.try_get("hash")?) })
}

/// Seals of all tenants by hour, tenant, period and number, behind `after`, `most` at most.
pub(crate) async fn by_hour(
    executor: impl PgExecutor<'_>,
    after: Option<(Span, u64)>,
    most: i64,
) -> Result<Vec<Kept>, sqlx::Error> {
    let none = (Span { hour: Micros(0), tenant: TenantId(i64::MIN), period: Micros(0) }, 0);
    let (span, number) = after.unwrap_or(none);
    let rows = sqlx::query(select!(
        "WHERE (hour, tenant_id, period_start, number) > ($1, $2, $3, $4)
         ORDER BY hour, tenant_id, period_start, number LIMIT $5"
    ))
    .bind(timestamp(span.hour))
    .bind(span.tenant.0)
    .bind(timestamp(span.period))
    .bind(i64::try_from(number).unwrap_or(i64::MAX))
    .bind(most)
    .fetch_all(executor)
    .await?;
    rows.iter().map(kept).collect()
}

/// By tenant: the last hour that is sealed.
pub(crate) async fn last(executor: impl PgExecutor<'_>) -> Result<HashMap<TenantId, Micros>, sqlx::Error> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT tenant_id, (extract(epoch FROM max(hour)) * 1000000)::bigint FROM hour_seal GROUP BY tenant_id",
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|(tenant, hour)| (TenantId(tenant), Micros(hour))).collect())
}

/// The first and the last number of a tenant's seals of the hours `[from, to)`.
pub(crate) async fn numbers(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    (from, to): (Micros, Micros),
) -> Result<Option<(u64, u64)>, sqlx::Error> {
    let numbers: (Option<i64>, Option<i64>) = sqlx::query_as(
        "SELECT min(number), max(number) FROM hour_seal WHERE tenant_id = $1 AND hour >= $2 AND hour < $3",
    )
    .bind(tenant.0)
    .bind(timestamp(from))
    .bind(timestamp(to))
    .fetch_one(executor)
    .await?;
    Ok(numbers.0.zip(numbers.1).map(|(first, last)| (first.unsigned_abs(), last.unsigned_abs())))
}

/// The seals of a tenant's period, in order.
pub(crate) async fn of_period(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    period: Micros,
) -> Result<Vec<Sealed>, sqlx::Error> {
    let rows: Vec<(i64, i64, i64, [u8; 32])> = sqlx::query_as(
        "SELECT number, extract(epoch FROM hour)::bigint, events, root FROM hour_seal
         WHERE tenant_id = $1 AND period_start = $2 ORDER BY number",
    )
    .bind(tenant.0)
    .bind(timestamp(period))
    .fetch_all(executor)
    .await?;
    let sealed = |(number, hour, events, root): (i64, i64, i64, _)| Sealed {
        number: number.unsigned_abs(),
        hour,
        events: events.unsigned_abs(),
        root: Hash(root),
    };
    Ok(rows.into_iter().map(sealed).collect())
}

/// The tenants that have seals, behind `after`, `most` at most.
pub(crate) async fn tenants(
    executor: impl PgExecutor<'_>,
    after: TenantId,
    most: i64,
) -> Result<Vec<TenantId>, sqlx::Error> {
    let tenants: Vec<i64> = sqlx::query_scalar(
        "SELECT DISTINCT tenant_id FROM hour_seal WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2",
    )
    .bind(after.0)
    .bind(most)
    .fetch_all(executor)
    .await?;
    Ok(tenants.into_iter().map(TenantId).collect())
}
