//! `events` in ClickHouse, which `processor` fills.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use clickhouse::Client;
use clickhouse::error::Error;
use clickhouse::query::{Query, RowCursor};
use metering::ledger::{Contents, Counts, Sum};
use processor::rows::content_hash_in_sql;
use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;

use crate::books::{BilledHour, Found, HourOf};
use crate::round::{Erasure, Round, What};

/// Ranges of a partition that one query names.
pub(crate) const RANGES_MAX: usize = 50_000;
/// Memory of ClickHouse that a query over all rows takes before it goes to disk, of each kind.
const MEMORY_BYTES: &str = "536870912";
/// Bytes of a query's text: a range takes up to 21.
const QUERY_BYTES_MAX: &str = "268435456";
/// In place of an offset: the partition goes on.
pub(crate) const NO_END: u64 = 1 << 47;
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

/// Ranges of the log: which, and how far they go.
#[derive(Debug)]
pub(crate) struct Starts {
    /// Partition and first offset of each, in order.
    starts: Vec<(u32, u64)>,
    /// Which rows are theirs, as a condition.
    within: String,
}

impl Starts {
    /// Of all partitions; their last ones end at an offset of their partition: one for each partition, in order.
    pub(crate) fn before(starts: Vec<(u32, u64)>, ends: Vec<u64>) -> Self {
        let within = format!("log_partition < {} AND {}", ends.len(), stands_before(&ends));
        Self { starts, within: if ends.is_empty() { "false".to_owned() } else { within } }
    }

    /// Of one partition; the last one ends before `end`.
    pub(crate) fn of(partition: u32, starts: Vec<u64>, end: u64) -> Self {
        let position = |offset| Position::first_of(offset).number();
        let first = position(starts.first().copied().unwrap_or(0));
        let within =
            format!("log_partition = {partition} AND position >= {first} AND position < {}", position(end));
        Self { starts: starts.into_iter().map(|lo| (partition, lo)).collect(), within }
    }

    /// Of all rows.
    pub(crate) fn all(starts: Vec<(u32, u64)>) -> Self {
        Self { starts, within: "true".to_owned() }
    }
}

/// Partition and offset in one number each.
fn numbers(starts: &[(u32, u64)]) -> Vec<u64> {
    starts.iter().map(|(partition, lo)| (u64::from(*partition) << OFFSET_BITS) | lo).collect()
}

/// Bits of an offset.
const OFFSET_BITS: u32 = 48;

/// Rows by ranges, by partition and first offset. Ranges without rows are left out. If `looks_at_contents`, the hash of
/// every row is computed.
///
/// One scan, whatever the ranges are: rows lie in the order of tenants, so that there is no cheaper way to many of
/// them.
pub(crate) async fn by_range(
    client: &Client,
    rows: &Rows,
    Starts { starts, within }: &Starts,
    looks_at_contents: bool,
) -> Result<BTreeMap<(u32, u64), Found>, Error> {
    let mut found = BTreeMap::new();
    if starts.is_empty() {
        return Ok(found);
    }
    let altered = if looks_at_contents {
        format!("countIf(content_hash != 0 AND content_hash != {})", content_hash_in_sql())
    } else {
        "toUInt64(0)".to_owned()
    };
    type RangeRow = (u64, u64, u64, u64, u64, u64, u64);
    let query = format!(
        "SELECT roundDown(bitOr(bitShiftLeft(toUInt64(log_partition), {OFFSET_BITS}), bitShiftRight(position, 16)),
                          ?) AS lo,
                {SUMS_IN_SQL}, uniqExact(position) AS positions, {altered} AS altered
         FROM {rows} AND {within} GROUP BY lo"
    );
    let mut cursor = heavy(client, &query).bind(numbers(starts)).fetch::<RangeRow>()?;
    while let Some((lo, rows, xor_hash, hashed, xor, positions, altered)) = cursor.next().await? {
        let contents = Contents { hashed: as_count(hashed), xor: xor.cast_signed() };
        let key = (u32::try_from(lo >> OFFSET_BITS).unwrap_or(u32::MAX), lo & ((1 << OFFSET_BITS) - 1));
        let found_there = Found {
            rows: as_count(rows),
            positions: as_count(positions),
            xor_hash: xor_hash.cast_signed(),
            contents,
            altered: as_count(altered),
        };
        found.insert(key, found_there);
    }
    Ok(found)
}

/// A query over many rows: what does not fit into so much memory of ClickHouse goes to its disk, and its text may name
/// very many ranges.
fn heavy(client: &Client, query: &str) -> Query {
    client
        .query(query)
        .with_setting("max_bytes_before_external_group_by", MEMORY_BYTES)
        .with_setting("max_bytes_before_external_sort", MEMORY_BYTES)
        .with_setting("max_query_size", QUERY_BYTES_MAX)
}

/// Rows by hour and period, as they come: in the order of the hours.
pub(crate) struct Hours(RowCursor<HourRow>);

/// Hour, tenant, project, period, and the columns of [`SUMS_IN_SQL`].
type HourRow = (i64, i64, i64, i64, u64, u64, u64, u64);

/// Of the rows that stand before `ends`, an offset for each partition.
pub(crate) fn hours(client: &Client, rows: &Rows, ends: &[u64]) -> Result<Hours, Error> {
    of_hours(client, &format!("{rows} AND {}", stands_before(ends)))
}

fn of_hours(client: &Client, rows: &str) -> Result<Hours, Error> {
    let query = format!(
        "SELECT toInt64(toUnixTimestamp(toStartOfHour(received_at))) * 1000000 AS hour, tenant_id, project_id,
                toUnixTimestamp64Second(period_start) * 1000000 AS period, {SUMS_IN_SQL}
         FROM {rows} GROUP BY hour, tenant_id, project_id, period ORDER BY hour, tenant_id, project_id, period"
    );
    Ok(Hours(heavy(client, &query).fetch()?))
}

impl Hours {
    /// The next one, and what its rows come to, each of them stored; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<(BilledHour, Sum)>, Error> {
        let row = self.0.next().await?;
        Ok(row.map(|(hour, tenant, project, period, rows, xor_hash, hashed, xor_contents)| {
            let (tenant, project) = (TenantId(tenant), ProjectId(project));
            let of = HourOf { hour: Micros(hour), tenant, project };
            (BilledHour { of, period: Micros(period) }, sum(rows, xor_hash, hashed, xor_contents))
        }))
    }
}

/// What rows come to by tenant, project, hour and period.
pub(crate) async fn by_hour(client: &Client, rows: &Rows) -> Result<BTreeMap<BilledHour, Sum>, Error> {
    let (mut hours, mut all) = (of_hours(client, &rows.to_string())?, BTreeMap::new());
    while let Some((hour, sum)) = hours.next().await? {
        all.insert(hour, sum);
    }
    Ok(all)
}

/// What rows come to, as columns: the arguments of [`sum`].
const SUMS_IN_SQL: &str = "count() AS rows,
    groupBitXor(toUInt64(bitAnd(event_hash, toUInt128(18446744073709551615)))) AS xor_hash,
    countIf(content_hash != 0) AS hashed,
    groupBitXor(toUInt64(bitAnd(content_hash, toUInt128(18446744073709551615)))) AS xor_contents";

fn sum(rows: u64, xor_hash: u64, hashed: u64, xor_contents: u64) -> Sum {
    let counts = Counts { stored: as_count(rows), ..Counts::default() };
    let contents = Contents { hashed: as_count(hashed), xor: xor_contents.cast_signed() };
    Sum { counts, xor_hash: xor_hash.cast_signed(), contents }
}

/// What stands in a partition of a tenant's period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionSum {
    pub(crate) partition: u32,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) sum: Sum,
}

/// What the tenant's events of a period come to that stand before `ends`, an offset for each partition, by partition:
/// those that are stored, and of those that somebody had erased what `erased_ids` keeps. Each position once.
pub(crate) async fn sums_of_period(
    client: &Client,
    rows: &Rows,
    (tenant, period): (TenantId, Micros),
    ends: &[u64],
) -> Result<Vec<PartitionSum>, Error> {
    type SumRow = (u32, u64, u64, u64, u64, u64, u64);
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    let is_of = format!(
        "tenant_id = {tenant} AND toUnixTimestamp64Second(period_start) = {} AND {}",
        period.seconds(),
        stands_before(ends)
    );
    let columns = "log_partition, position, event_hash, content_hash";
    // An erased event may still have its row; a row may be there twice until a merge.
    let query = format!(
        "SELECT log_partition, min(position) AS first, max(position) AS last, {SUMS_IN_SQL}
         FROM (SELECT log_partition, position, any(event_hash) AS event_hash, any(content_hash) AS content_hash
               FROM (SELECT {columns} FROM {rows} AND {is_of}
                     UNION ALL SELECT {columns} FROM erased_ids WHERE {is_of})
               GROUP BY log_partition, position)
         GROUP BY log_partition ORDER BY log_partition"
    );
    let found: Vec<SumRow> = heavy(client, &query).fetch_all().await?;
    let sums = |(partition, first, last, rows, xor_hash, hashed, xor_contents): SumRow| PartitionSum {
        partition,
        first: Position::from_number(first),
        last: Position::from_number(last),
        sum: sum(rows, xor_hash, hashed, xor_contents),
    };
    Ok(found.into_iter().map(sums).collect())
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
    let query = "SELECT DISTINCT roundDown(bitShiftRight(position, 16), ?) AS lo FROM events
                 WHERE log_partition = ? AND position >= ? AND position < ?
                   AND toInt64(toUnixTimestamp(toStartOfHour(received_at))) IN ?";
    heavy(client, query)
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
