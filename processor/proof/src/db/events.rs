//! `events` in ClickHouse, which `processor` fills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use clickhouse::error::Error;
use clickhouse::{Client, Row};
use processor::commit::Contents;
use processor::rows::content_hash_in_sql;
use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use serde::Deserialize;

use crate::books::{BilledHour, Found, HourOf};
use crate::round::{Erasure, Round, What};

/// Ranges that one query names: ClickHouse takes queries of 256 KiB.
pub(crate) const RANGES_MAX: usize = 2_000;
/// Hours that one query names.
pub(crate) const HOURS_MAX: usize = 5_000;

/// Rows that are counted, as SQL has it behind FROM; conditions follow with AND.
#[derive(Debug, Clone)]
pub(crate) struct Rows(String);

impl Rows {
    /// All but those of the round that is being deleted, if there is one: they may be there or not.
    pub(crate) fn without(deleting: Option<&Round>) -> Self {
        Self(match deleting {
            Some(round) => format!("events WHERE NOT {}", of_round(round)),
            None => "events WHERE true".to_owned(),
        })
    }

    /// Those of a round, each position once, with `whose`: the erasure, or in a round of retention the tenant.
    pub(crate) fn of(round: &Round) -> Self {
        if round.is_retention() {
            return Self(format!(
                "(SELECT log_partition, position, tenant_id, project_id, event_hash, received_at, period_start,
                         content_hash, tenant_id AS whose
                  FROM events FINAL WHERE {}) WHERE true",
                of_round(round)
            ));
        }
        Self(format!(
            "(SELECT log_partition, position, any(tenant_id) AS tenant_id, any(project_id) AS project_id,
                     any(event_hash) AS event_hash, any(received_at) AS received_at,
                     any(period_start) AS period_start, any(content_hash) AS content_hash, min(erasure) AS whose
              FROM erased_ids WHERE round = {} GROUP BY log_partition, position) WHERE true",
            round.number
        ))
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which rows an erasure may take at all, as a condition.
pub(super) fn area(erasure: &Erasure) -> String {
    let project = erasure.project.map(|project| format!(" AND project_id = {project}")).unwrap_or_default();
    format!("tenant_id = {}{project} AND {}", erasure.tenant, stands_before(&erasure.ends))
}

/// A condition that is met by what stands before an offset of its partition: one for each partition, in order.
pub(super) fn stands_before(ends: &[u64]) -> String {
    let ends: Vec<String> = ends.iter().map(|end| Position::first_of(*end).number().to_string()).collect();
    format!("position < arrayElement([{}], log_partition + 1)", ends.join(", "))
}

/// A condition that is met by exactly the rows of a round. It holds no personal data: ClickHouse keeps the text of a
/// mutation.
fn of_round(round: &Round) -> String {
    if !round.is_retention() {
        let tenants: BTreeSet<i64> = round.erasures.iter().map(|erasure| erasure.tenant.0).collect();
        let tenants: Vec<String> = tenants.iter().map(ToString::to_string).collect();
        return format!(
            "(tenant_id IN ({}) AND (log_partition, position) IN \
             (SELECT log_partition, position FROM erased_ids WHERE round = {}))",
            tenants.join(", "),
            round.number
        );
    }
    let each = round.erasures.iter().filter_map(|erasure| match &erasure.what {
        What::Before(before) => Some(format!(
            "({} AND received_at < fromUnixTimestamp64Micro(toInt64({})))",
            area(erasure),
            before.0
        )),
        What::Subject(..) => None,
    });
    format!("({})", each.collect::<Vec<String>>().join(" OR "))
}

/// Rows by ranges of a partition: `starts` are their first offsets, in order, and the last one ends before `end`.
/// Ranges without rows are left out.
pub(crate) async fn by_range(
    client: &Client,
    rows: &Rows,
    partition: u32,
    starts: &[u64],
    end: Option<u64>,
) -> Result<BTreeMap<u64, Found>, Error> {
    #[derive(Row, Deserialize)]
    struct RangeRow {
        lo: u64,
        rows: u64,
        positions: u64,
        xor_hash: u64,
        hashed: u64,
        xor_contents: u64,
    }
    let Some(first) = starts.first() else { return Ok(BTreeMap::new()) };
    let found: Vec<RangeRow> = client
        .query(&format!(
            "SELECT roundDown(bitShiftRight(position, 16), ?) AS lo, count() AS rows, uniqExact(position) AS positions,
                    groupBitXor(toUInt64(bitAnd(event_hash, toUInt128(18446744073709551615)))) AS xor_hash,
                    countIf(content_hash != 0) AS hashed,
                    groupBitXor(toUInt64(bitAnd(content_hash, toUInt128(18446744073709551615)))) AS xor_contents
             FROM {rows} AND log_partition = ? AND position >= ? AND position < ? GROUP BY lo"
        ))
        .bind(starts)
        .bind(partition)
        .bind(Position::first_of(*first).number())
        .bind(end.map_or(u64::MAX, |end| Position::first_of(end).number()))
        .fetch_all()
        .await?;
    let sums = |row: RangeRow| {
        let (rows, positions) = (as_count(row.rows), as_count(row.positions));
        let contents = Contents { hashed: as_count(row.hashed), xor: row.xor_contents.cast_signed() };
        (row.lo, Found { rows, positions, xor_hash: row.xor_hash.cast_signed(), contents })
    };
    Ok(found.into_iter().map(sums).collect())
}

/// Of the ranges of a partition that begin at `starts`, in order, and end before `end`: those with rows of which the
/// contents are not what their hash was made of, and how many these are. Computes the hash of every row.
pub(crate) async fn altered(
    client: &Client,
    rows: &Rows,
    partition: u32,
    starts: &[u64],
    end: u64,
) -> Result<Vec<(u64, u64)>, Error> {
    let Some(first) = starts.first() else { return Ok(Vec::new()) };
    client
        .query(&format!(
            "SELECT roundDown(bitShiftRight(position, 16), ?) AS lo, count() AS rows
             FROM {rows} AND log_partition = ? AND position >= ? AND position < ?
               AND content_hash != 0 AND content_hash != {} GROUP BY lo",
            content_hash_in_sql()
        ))
        .bind(starts)
        .bind(partition)
        .bind(Position::first_of(*first).number())
        .bind(Position::first_of(end).number())
        .fetch_all()
        .await
}

/// Rows by tenant, project, hour and period; of those that stand before `ends`, an offset for each partition, if there
/// are any.
pub(crate) async fn by_hour(
    client: &Client,
    rows: &Rows,
    ends: Option<&[u64]>,
) -> Result<BTreeMap<BilledHour, i64>, Error> {
    #[derive(Row, Deserialize)]
    struct HourRow {
        tenant_id: i64,
        project_id: i64,
        hour: i64,
        period: i64,
        rows: u64,
    }
    let before = ends.map(|ends| format!(" AND {}", stands_before(ends))).unwrap_or_default();
    let found: Vec<HourRow> = client
        .query(&format!(
            "SELECT tenant_id, project_id, toInt64(toUnixTimestamp(toStartOfHour(received_at))) * 1000000 AS hour,
                    toUnixTimestamp64Second(period_start) * 1000000 AS period, count() AS rows
             FROM {rows}{before} GROUP BY tenant_id, project_id, hour, period"
        ))
        .fetch_all()
        .await?;
    let hour = |row: HourRow| {
        let (tenant, project) = (TenantId(row.tenant_id), ProjectId(row.project_id));
        let of = HourOf { tenant, project, hour: Micros(row.hour) };
        (BilledHour { of, period: Micros(row.period) }, as_count(row.rows))
    };
    Ok(found.into_iter().map(hour).collect())
}

/// Rows of partitions that the log does not have.
pub(crate) async fn beyond(client: &Client, partitions: u32) -> Result<u64, Error> {
    client.query("SELECT count() FROM events WHERE log_partition >= ?").bind(partitions).fetch_one().await
}

/// Rows at or after an offset of their partition: one for each partition, in order.
pub(crate) async fn not_before(client: &Client, ends: &[u64]) -> Result<u64, Error> {
    let count = format!(
        "SELECT count() FROM events WHERE log_partition < {} AND NOT {}",
        ends.len(),
        stands_before(ends)
    );
    client.query(&count).fetch_one().await
}

/// Rows of a round by `whose`.
pub(crate) async fn by_whose(client: &Client, rows: &Rows) -> Result<Vec<(i64, i64)>, Error> {
    let found: Vec<(i64, u64)> = client
        .query(&format!("SELECT whose, count() AS rows FROM {rows} GROUP BY whose"))
        .fetch_all()
        .await?;
    Ok(found.into_iter().map(|(whose, rows)| (whose, as_count(rows))).collect())
}

/// The partitions that have such rows, each with the first and the last offset.
pub(crate) async fn spans(client: &Client, rows: &Rows) -> Result<Vec<(u32, u64, u64)>, Error> {
    let spans: Vec<(u32, u64, u64)> = client
        .query(&format!(
            "SELECT log_partition, min(position) AS first, max(position) AS last FROM {rows} GROUP BY log_partition"
        ))
        .fetch_all()
        .await?;
    let offset = |position| Position::from_number(position).offset();
    Ok(spans.into_iter().map(|(partition, first, last)| (partition, offset(first), offset(last))).collect())
}

/// Of the ranges of a partition that begin at `starts`, in order, and end before `end`: those that have rows in these
/// hours, which are unix seconds.
pub(crate) async fn ranges_with_rows_in(
    client: &Client,
    partition: u32,
    (starts, end): (&[u64], u64),
    hours: &[i64],
) -> Result<Vec<u64>, Error> {
    let Some(first) = starts.first() else { return Ok(Vec::new()) };
    client
        .query(
            "SELECT DISTINCT roundDown(bitShiftRight(position, 16), ?) AS lo FROM events
             WHERE log_partition = ? AND position >= ? AND position < ?
               AND toInt64(toUnixTimestamp(toStartOfHour(received_at))) IN ?",
        )
        .bind(starts)
        .bind(partition)
        .bind(Position::first_of(*first).number())
        .bind(Position::first_of(end).number())
        .bind(hours)
        .fetch_all()
        .await
}

/// Of these tenants those that have rows received before.
pub(crate) async fn tenants_before(
    client: &Client,
    tenants: &[i64],
    before: Micros,
) -> Result<Vec<i64>, Error> {
    client
        .query(
            "SELECT DISTINCT tenant_id FROM events
             WHERE tenant_id IN ? AND received_at < fromUnixTimestamp64Micro(toInt64(?))",
        )
        .bind(tenants)
        .bind(before.0)
        .fetch_all()
        .await
}

/// Rows of a round that are there.
pub(crate) async fn count(client: &Client, round: &Round) -> Result<u64, Error> {
    client.query(&format!("SELECT count() FROM events WHERE {}", of_round(round))).fetch_one().await
}

/// A mutation of the table that is not finished, and why not.
pub(crate) async fn unfinished_mutation(client: &Client) -> Result<Option<String>, Error> {
    client
        .query(
            "SELECT concat(mutation_id, ' ', latest_fail_reason) FROM system.mutations
             WHERE database = currentDatabase() AND table = 'events' AND NOT is_done AND NOT is_killed LIMIT 1",
        )
        .fetch_optional()
        .await
}

/// Deletes the rows of a round.
pub(crate) async fn delete(client: &Client, round: &Round) -> Result<(), Error> {
    let delete = format!("ALTER TABLE events DELETE WHERE {} SETTINGS mutations_sync = 1", of_round(round));
    client.query(&delete).execute().await
}

fn as_count(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
