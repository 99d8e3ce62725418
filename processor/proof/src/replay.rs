//! Bringing rows back from the log, below the cursors: into a table that lost some, or all.
//!
//! The log's records are judged as the ledger did: an event is stored if no earlier position has its id. What the
//! ledger says of the range must come out, or nothing is changed. Then the rows that ClickHouse lacks are inserted.
//! Processors may run meanwhile: they write at and after their cursors.

mod first;
pub(crate) mod range;
pub(crate) mod task;

use processor::below;
use service::store::StoreError;

use crate::stores::Stores;
use crate::verify::ledger;
use crate::verify::rows::found;

use range::Mender;
pub use task::{Report, Selection};

/// Inserts the selected rows that ClickHouse lacks. Removes none.
///
/// # Errors
/// [`StoreError`]: what was done before stays, and the same can be asked for again. A range that can't be brought back
/// is not an error, but in the report.
pub async fn replay(stores: &Stores<'_>, selection: Selection) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let partitions: Vec<u32> = (0..stores.log.partitions()).collect();
    for partition in partitions {
        if matches!(selection, Selection::Offsets { partition: of, .. } if of != partition) {
            continue;
        }
        let mut held = below::change(stores.pool, partition).await?;
        let erased = held.erased().await?;
        let offsets = match selection {
            Selection::Offsets { from, to, .. } => (from, to),
            Selection::Period { .. } | Selection::All => (0, u64::MAX),
        };
        let part = ledger::read_part(stores.pool, partition, offsets).await?;
        let compared = found(stores.clickhouse, partition, &part.ranges, part.deleting.as_ref()).await?;
        report.ranges += compared.len();
        let damaged = compared.into_iter().filter(|(range, found)| !found.agrees(range));
        let damaged = damaged.map(|(range, _)| range);
        let mut mender = Mender::new(stores, partition, &part.letters, erased, Some(selection));
        mender.mend_all(damaged, &mut report).await?;
        held.release().await;
    }
    Ok(report)
}
