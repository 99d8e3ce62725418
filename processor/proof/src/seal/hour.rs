//! Sealing one hour of some tenants.

use std::collections::BTreeMap;

use evidence::{Hash, NotPushed, Root, Seal, Tree};
use schemas::id::TenantId;
use service::store::StoreError;

use super::Sealer;
use crate::books::Span;
use crate::db::hour_seal::{self, Due};
use crate::db::leaves;
use crate::metrics;
use crate::turn::connection;
use sqlx::Connection;

/// What a span's events come to.
#[derive(Default)]
struct Found {
    tree: Tree,
    altered: u64,
    /// Of which more than hashes is left.
    live: u64,
    broken: Option<NotPushed>,
}

/// Seals what is due of one hour, given the cursors at which it was due. How many seals were made.
pub(super) async fn seal(sealer: &Sealer, due: &[Due], ends: &[u64]) -> Result<usize, StoreError> {
    let Some(first) = due.first() else { return Ok(0) };
    let hour = first.span.hour;
    let mut tenants: Vec<i64> = due.iter().map(|due| due.span.tenant.0).collect();
    tenants.dedup();
    let sealed = hour_seal::ends(&sealer.pool, hour, &tenants).await?;
    let is_sealed = |span: &Span, partition: u32, offset: u64| {
        let end = sealed.get(span).and_then(|ends| ends.get(partition as usize));
        end.is_some_and(|end| offset < *end)
    };
    let mut found: BTreeMap<Span, Found> = BTreeMap::new();
    let mut leaves = leaves::of_hour(&sealer.clickhouse, hour, &tenants, ends, false)?;
    while let Some(placed) = leaves.next().await? {
        if is_sealed(&placed.span, placed.partition, placed.position.offset()) {
            continue;
        }
        let found = found.entry(placed.span).or_default();
        found.altered += u64::from(placed.is_altered);
        found.live += u64::from(!placed.is_erased);
        if let Err(error) = found.tree.push(&placed.leaf) {
            found.broken = Some(error);
        }
    }
    let mut roots = Vec::new();
    for due in due {
        let Found { tree, altered, live, broken } = found.remove(&due.span).unwrap_or_default();
        match tree.finish() {
            Some(root) if root.events == due.events && altered == 0 && broken.is_none() => {
                roots.push((due.span, root));
            }
            // Age takes whole hours.
            root if live == 0 && root.map_or(0, |root| root.events) + due.erased >= due.events => {
                tracing::debug!(?due, "an hour is not sealed: its rows were erased for their age");
            }
            root => complain(due, root.map_or(0, |root| root.events), altered, broken),
        }
    }
    write(sealer, roots, ends).await
}

/// What is not sealed is a loss of proof, but never of an event.
fn complain(due: &Due, rows: u64, altered: u64, broken: Option<NotPushed>) {
    let Due { span, events, .. } = due;
    let (tenant, hour) = (span.tenant.0, span.hour.seconds());
    ::metrics::counter!(metrics::UNSEALED_SPANS).increment(1);
    let twice = broken.map(|broken| broken.to_string());
    tracing::error!(
        tenant,
        hour,
        events,
        rows,
        altered,
        twice,
        "an hour is not sealed: rows and usage do not agree. What shows why: weir verify"
    );
}

/// Chains, signs and writes seals.
async fn write(sealer: &Sealer, roots: Vec<(Span, Root)>, ends: &[u64]) -> Result<usize, StoreError> {
    if roots.is_empty() {
        return Ok(0);
    }
    let mut connection = connection(&sealer.pool).await?;
    let mut tx = connection.begin().await?;
    let mut tenants: Vec<i64> = roots.iter().map(|(span, _)| span.tenant.0).collect();
    tenants.dedup();
    let mut heads: BTreeMap<TenantId, (u64, Hash)> = hour_seal::heads(&mut *tx, &tenants).await?;
    let mut seals = Vec::with_capacity(roots.len());
    for (span, root) in roots {
        let head = heads.entry(span.tenant).or_insert((0, Hash::NONE));
        let seal = Seal {
            tenant: span.tenant,
            number: head.0 + 1,
            hour: span.hour.seconds(),
            period: span.period.seconds(),
            root,
            offsets: ends.to_vec(),
            previous: head.1,
        };
        *head = (seal.number, seal.hash());
        seals.push(sealer.key.sign(seal));
    }
    hour_seal::insert(&mut tx, &seals).await?;
    tx.commit().await?;
    ::metrics::counter!(metrics::SEALED_SPANS).increment(u64::try_from(seals.len()).unwrap_or_default());
    Ok(seals.len())
}
