//! `events_hourly` in ClickHouse: counts by name and hour.

use clickhouse::Client;
use clickhouse::error::Error;
use schemas::time::Micros;

/// Computes the hour that begins at `hour`. Names that are no longer there get a row of nothing.
pub(crate) async fn compute(client: &Client, hour: Micros, version: i64) -> Result<(), Error> {
    client
        .query(&format!(
            "INSERT INTO events_hourly (tenant_id, project_id, event, hour, events, users, version)
             SELECT tenant_id, project_id, event, toDateTime({second}, 'UTC'), sum(counted),
                 uniqIfMergeState(seen), {version}
             FROM (
                 SELECT tenant_id, project_id, event, count() AS counted,
                     uniqIfState(user_id, toUInt8(user_id != '')) AS seen
                 FROM events
                 WHERE received_at >= fromUnixTimestamp64Micro(toInt64({from}))
                   AND received_at < fromUnixTimestamp64Micro(toInt64({to}))
                 GROUP BY tenant_id, project_id, event
                 UNION ALL
                 SELECT tenant_id, project_id, event, toUInt64(0) AS counted, uniqIfState('', toUInt8(0)) AS seen
                 FROM events_hourly WHERE hour = toDateTime({second}, 'UTC')
                 GROUP BY tenant_id, project_id, event)
             GROUP BY tenant_id, project_id, event",
            second = hour.seconds(),
            from = hour.0,
            to = hour.0.saturating_add(Micros::HOUR),
        ))
        .with_setting("async_insert", "0")
        .with_setting("insert_deduplicate", "0")
        .with_setting("wait_end_of_query", "1")
        .execute()
        .await
}
