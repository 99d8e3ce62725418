//! The floor of a processor: the ClickHouse client with rows that are ready, in blocks as large as the processor's,
//! one after the other. No reading, no decoding, no deduplication, no Postgres.

use std::collections::HashSet;
use std::time::Instant;

use anyhow::Context;
use benches::cpu;
use clap::Args;
use eventlog::Record;
use schemas::frame::{FrameError, frames};
use schemas::id::Position;
use service::clickhouse::{ClickHouseConfig, client};

use crate::place::Place;
use crate::row::FloorRow;

#[derive(Debug, Args)]
pub(crate) struct Insert {
    #[command(flatten)]
    place: Place,
    #[arg(long)]
    url: String,
    /// With the table `events`
    #[arg(long)]
    database: String,
    /// Rows of a block
    #[arg(long)]
    rows: usize,
    /// Without the client's comparison of each value's type with its column's
    #[arg(long)]
    unchecked: bool,
}

impl Insert {
    pub(crate) async fn carry_out(self) -> anyhow::Result<()> {
        let records = self.place.read_all().await?;
        let rows = rows(&records).map_err(|error| anyhow::anyhow!("{error}"))?;
        let config = ClickHouseConfig { url: self.url, database: self.database, user: None, password: None };
        let client = client(&config).with_validation(!self.unchecked);

        let (cpu_before, begun) = (cpu::process_ms(), Instant::now());
        let blocks = rows.chunks(self.rows.max(1));
        let count = blocks.len();
        for block in blocks {
            // As the processor's, except for the name of the query.
            let mut insert = client
                .insert::<FloorRow<'_>>("events")
                .await?
                .with_setting("async_insert", "0")
                .with_setting("wait_end_of_query", "1")
                .with_setting("insert_deduplicate", "0")
                .with_setting("max_insert_block_size", "1048576")
                .with_setting("min_insert_block_size_rows", "1048576")
                .with_setting("min_insert_block_size_bytes", "1073741824");
            for row in block {
                insert.write(row).await?;
            }
            insert.end().await?;
        }
        let cpu_ms = cpu::process_ms().zip(cpu_before).map(|(after, before)| after - before);
        let (cpu_ms, ms) = (cpu_ms.context("this bench needs Linux")?, begun.elapsed().as_millis());
        println!(r#"{{"rows":{},"blocks":{count},"cpu_ms":{cpu_ms},"elapsed_ms":{ms}}}"#, rows.len());
        Ok(())
    }
}

/// One for each id, the first.
fn rows(records: &[Record]) -> Result<Vec<FloorRow<'_>>, FrameError> {
    let (mut rows, mut seen) = (Vec::new(), HashSet::new());
    for record in records {
        let mut index = 0;
        for (_, frame) in frames(&record.payload) {
            let frame = frame?;
            for event in frame.events() {
                let event = event?;
                let position = Position::new(record.offset, index);
                index += 1;
                if seen.insert((frame.envelope.project, event.hash)) {
                    rows.push(FloorRow::new(&frame.envelope, &event, record.partition, position));
                }
            }
        }
    }
    Ok(rows)
}
