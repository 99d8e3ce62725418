//! Seals: each tenant's are a chain that nobody has changed, and rows are what was sealed.

use std::collections::BTreeMap;

use clickhouse::Client;
use evidence::{Hash, PublicKey, Tree};
use schemas::id::TenantId;
use schemas::time::Micros;
use service::store::StoreError;
use sqlx::PgPool;

use crate::books::{Books, Span};
use crate::db::hour_seal::{self, Kept};
use crate::db::{erased_hour, evidence_key, leaves};
use crate::verdict::Verdict;

/// Tenants, and seals, that are read at once.
const ROWS_MAX: i64 = 500;

/// Checks all seals, and compares the rows with them.
pub(super) async fn check(
    books: &Books,
    pool: &PgPool,
    clickhouse: &Client,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let mut keys = evidence_key::all(pool).await?;
    let mut after = TenantId(i64::MIN);
    loop {
        let tenants = hour_seal::tenants(pool, after, ROWS_MAX).await?;
        let Some(last) = tenants.last() else { break };
        after = *last;
        for tenant in tenants {
            check_chain(pool, tenant, &mut keys, verdict).await?;
        }
    }
    if books.erased.deleting.as_ref().is_some_and(|round| round.is_retention()) {
        // Rows may be there or not.
        return Ok(());
    }
    let mut before: Option<Kept> = None;
    loop {
        let after = before.as_ref().map(|last| (span(last), last.signed.seal.number));
        let kept = hour_seal::by_hour(pool, after, ROWS_MAX).await?;
        if kept.is_empty() {
            return Ok(());
        }
        for of_hour in kept.chunk_by(|a, b| a.signed.seal.hour == b.signed.seal.hour) {
            check_rows(pool, clickhouse, (before.as_ref(), of_hour), verdict).await?;
        }
        before = kept.into_iter().next_back();
    }
}

/// Numbers follow one another from 1, each seal names the one before, and each is signed with a key that is known.
async fn check_chain(
    pool: &PgPool,
    tenant: TenantId,
    keys: &mut Vec<PublicKey>,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let (mut number, mut previous) = (0, Hash::NONE);
    loop {
        let kept = hour_seal::after(pool, tenant, number, ROWS_MAX).await?;
        if kept.is_empty() {
            return Ok(());
        }
        for Kept { signed, hash } in kept {
            let seal = &signed.seal;
            let what = || format!("seal {} of tenant {tenant}", seal.number);
            verdict.seals += 1;
            verdict.expect(what, ("its number", &seal.number), ("expected", &(number + 1)));
            verdict.expect(what, ("the seal before it", &seal.previous), ("that seal's hash", &previous));
            verdict.expect(what, ("its hash", &seal.hash()), ("as it is kept", &hash));
            if !keys.iter().any(|key| key.id() == signed.key) {
                // It may have come meanwhile.
                *keys = evidence_key::all(pool).await?;
            }
            let is_signed = keys.iter().any(|key| signed.is_by(key));
            verdict.expect(what, ("signed with a known key", &is_signed), ("expected", &true));
            (number, previous) = (seal.number, seal.hash());
        }
    }
}

fn span(kept: &Kept) -> Span {
    let seal = &kept.signed.seal;
    let micros = |seconds: i64| Micros(seconds.saturating_mul(Micros::SECOND));
    Span { hour: micros(seal.hour), tenant: seal.tenant, period: micros(seal.period) }
}

/// What the rows of a seal come to.
struct Found<'a> {
    kept: &'a Kept,
    tree: Tree,
    /// None is altered, and none there twice.
    is_right: bool,
    /// Of which more than hashes is left.
    live: u64,
}

/// The rows of one hour make the roots that were sealed. `before` is the seal before, which may be of the same span as
/// the first ones here: its rows are not theirs.
async fn check_rows(
    pool: &PgPool,
    clickhouse: &Client,
    (before, kept): (Option<&Kept>, &[Kept]),
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let Some(first) = kept.first() else { return Ok(()) };
    let hour = span(first).hour;
    let mut tenants: Vec<i64> = kept.iter().map(|kept| kept.signed.seal.tenant.0).collect();
    tenants.dedup();
    let mut ends: Vec<u64> = Vec::new();
    for offsets in kept.iter().map(|kept| &kept.signed.seal.offsets) {
        ends.resize(ends.len().max(offsets.len()), 0);
        ends.iter_mut().zip(offsets).for_each(|(end, offset)| *end = (*end).max(*offset));
    }
    // In the order of their numbers.
    let mut spans: BTreeMap<Span, Vec<Found<'_>>> = BTreeMap::new();
    for kept in kept {
        let found = Found { kept, tree: Tree::new(), is_right: true, live: 0 };
        spans.entry(span(kept)).or_default().push(found);
    }
    let mut leaves = leaves::of_hour(clickhouse, hour, &tenants, &ends, false)?;
    while let Some(placed) = leaves.next().await? {
        let stands_before = |kept: &Kept| {
            let end = kept.signed.seal.offsets.get(placed.partition as usize);
            end.is_some_and(|end| placed.position.offset() < *end)
        };
        if before.is_some_and(|before| span(before) == placed.span && stands_before(before)) {
            continue;
        }
        let seals = spans.get_mut(&placed.span);
        let found = seals.and_then(|seals| seals.iter_mut().find(|found| stands_before(found.kept)));
        if let Some(found) = found {
            found.is_right &= found.tree.push(&placed.leaf).is_ok() && !placed.is_altered;
            found.live += u64::from(!placed.is_erased);
        }
    }
    for (span, seals) in spans {
        for Found { kept, tree, is_right, live } in seals {
            let seal = &kept.signed.seal;
            let root = tree.finish();
            let missing = seal.root.events.saturating_sub(root.map_or(0, |root| root.events));
            // Age takes whole hours, and leaves nothing of them.
            if missing > 0 && live == 0 && missing <= erased_hour::of(pool, span).await? {
                verdict.seals_without_rows += 1;
                continue;
            }
            let what = || format!("seal {} of tenant {}", seal.number, seal.tenant);
            verdict.expect(what, ("its rows", &root), ("sealed", &Some(seal.root)));
            verdict.expect(what, ("its rows are as they were written", &is_right), ("expected", &true));
        }
    }
    Ok(())
}
