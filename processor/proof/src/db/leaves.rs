//! Events as they are sealed: those in `events`, and what `erased_ids` keeps of those that somebody had erased.

use clickhouse::error::Error;
use clickhouse::query::RowCursor;
use clickhouse::{Client, Row};
use evidence::Leaf;
use processor::rows::{content_hash_in_sql, hashed_bytes_in_sql};
use schemas::content::ContentHash;
use schemas::id::{EventHash, Position, ProjectId, TenantId};
use schemas::time::Micros;
use serde::Deserialize;

use super::events::stands_before;
use crate::books::Span;

#[derive(Row, Deserialize)]
struct LeafRow {
    tenant_id: i64,
    period: i64,
    project_id: i64,
    event_hash: u128,
    content_hash: u128,
    log_partition: u32,
    position: u64,
    is_altered: bool,
    is_erased: bool,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// An event as it is sealed.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) span: Span,
    pub(crate) leaf: Leaf,
    pub(crate) partition: u32,
    pub(crate) position: Position,
    /// Its contents are not what their hash was made of.
    pub(crate) is_altered: bool,
    /// Only its hashes are left.
    pub(crate) is_erased: bool,
    /// What its content hash is made of, if it was asked for.
    pub(crate) bytes: Vec<u8>,
}

/// Events as they come from ClickHouse.
pub(crate) struct Leaves {
    rows: RowCursor<LeafRow>,
    hour: Micros,
    last: Option<(u32, u64)>,
}

/// The events of these tenants that were received in the hour and stand before `ends`, in the order of tenant, period,
/// project and event hash; with their bytes, if those are wanted.
pub(crate) fn of_hour(
    client: &Client,
    hour: Micros,
    tenants: &[i64],
    ends: &[u64],
    with_bytes: bool,
) -> Result<Leaves, Error> {
    let is_within = format!(
        "tenant_id IN ? AND received_at >= fromUnixTimestamp64Micro(toInt64({}))
         AND received_at < fromUnixTimestamp64Micro(toInt64({})) AND {}",
        hour.0,
        hour.0.saturating_add(Micros::HOUR),
        stands_before(ends)
    );
    let bytes = if with_bytes { hashed_bytes_in_sql() } else { "''".to_owned() };
    let rows = client
        .query(&format!(
            "SELECT tenant_id, period, project_id, event_hash, content_hash, log_partition, position, is_altered,
                    is_erased, bytes
             FROM (SELECT tenant_id, toUnixTimestamp64Second(period_start) AS period, project_id, event_hash,
                          content_hash, log_partition, position,
                          content_hash != 0 AND content_hash != {} AS is_altered, false AS is_erased, {bytes} AS bytes
                   FROM events WHERE {is_within}
                   UNION ALL
                   SELECT tenant_id, toUnixTimestamp64Second(period_start), project_id, event_hash, content_hash,
                          log_partition, position, false, true, '' FROM erased_ids WHERE {is_within})
             ORDER BY tenant_id, period, project_id, event_hash, log_partition, position, is_erased",
            content_hash_in_sql()
        ))
        .bind(tenants)
        .bind(tenants)
        .fetch::<LeafRow>()?;
    Ok(Leaves { rows, hour, last: None })
}

impl Leaves {
    /// The next one; `None` after the last. A position comes once, also while its row is being erased.
    pub(crate) async fn next(&mut self) -> Result<Option<Placed>, Error> {
        loop {
            let Some(row) = self.rows.next().await? else { return Ok(None) };
            let at = (row.log_partition, row.position);
            if self.last.replace(at) == Some(at) {
                continue;
            }
            let span = Span {
                hour: self.hour,
                tenant: TenantId(row.tenant_id),
                period: Micros(row.period.saturating_mul(Micros::SECOND)),
            };
            let leaf = Leaf {
                project: ProjectId(row.project_id),
                event: EventHash(row.event_hash),
                contents: ContentHash(row.content_hash),
                quantity: 1,
            };
            return Ok(Some(Placed {
                span,
                leaf,
                partition: row.log_partition,
                position: Position::from_number(row.position),
                is_altered: row.is_altered,
                is_erased: row.is_erased,
                bytes: row.bytes,
            }));
        }
    }
}
