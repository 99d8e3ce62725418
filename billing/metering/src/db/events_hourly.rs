//! `events_hourly` in ClickHouse, which `proof` computes: counts by name and hour, of hours that are over.

use clickhouse::error::Error;
use clickhouse::{Client, Row};
use schemas::time::Micros;
use serde::Deserialize;

use super::tenant_rows::TenantRows;

/// Stored events of one name in one step.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub(crate) struct NameSum {
    /// Seconds since 1970.
    pub(crate) at: i64,
    pub(crate) name: String,
    pub(crate) stored: u64,
}

/// Sums of `[from, to)` by step (`hour`, `day` or `month` in `zone`) and name, in that order.
pub(crate) async fn by_step(
    client: &Client,
    rows: TenantRows<'_>,
    (from, to): (Micros, Micros),
    (step, zone): (&str, &str),
    rows_max: u64,
) -> Result<Vec<NameSum>, Error> {
    rows.select(
        client,
        "toInt64(toUnixTimestamp(toDateTime(dateTrunc({step:String}, hour, {zone:String}), {zone:String}))) AS at,
         toString(event) AS name, sum(events) AS stored",
        "events_hourly FINAL",
        "hour >= toDateTime({from:Int64}, 'UTC') AND hour < toDateTime({to:Int64}, 'UTC') AND events > 0
         GROUP BY at, name ORDER BY at, name LIMIT {rows_max:UInt64}",
    )
    .param("step", step)
    .param("zone", zone)
    .param("from", from.seconds())
    .param("to", to.seconds())
    .param("rows_max", rows_max)
    .fetch_all()
    .await
}
