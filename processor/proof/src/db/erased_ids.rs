//! `erased_ids` in ClickHouse: where the rows stand that a round takes out.

use clickhouse::Client;
use clickhouse::error::Error;

use super::events::area;
use crate::round::{Round, What};

/// Notes which rows the subjects have now, under the round's number. What an earlier attempt noted, or still notes,
/// stands under another.
///
/// # Errors
/// If ClickHouse fails: this round must not be counted then.
pub(crate) async fn note(client: &Client, round: &Round) -> Result<(), Error> {
    for erasure in &round.erasures {
        let What::Subject(kind, value) = &erasure.what else { continue };
        let note = format!(
            "INSERT INTO erased_ids
                 (round, erasure, tenant_id, project_id, event_hash, received_at, log_partition, position, period_start,
                  content_hash)
             SELECT {}, {}, tenant_id, project_id, event_hash, received_at, log_partition, position, period_start,
                    content_hash
             FROM events WHERE {} AND {} = ?",
            round.number,
            erasure.id,
            area(erasure),
            kind.column()
        );
        client
            .query(&note)
            .bind(value)
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "0")
            .with_setting("wait_end_of_query", "1")
            // The text names the subject, and the log of queries is kept for weeks.
            .with_setting("log_queries", "0")
            .execute()
            .await?;
    }
    Ok(())
}
