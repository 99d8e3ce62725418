//! `weir river`: the way of events at a glance.

use std::process::ExitCode;

use metering::river::{self, Books, Disk, IngestNode, Partition, Questions, River};
use metering::spool::Spool;
use service::clickhouse::{self, Patience};
use service::postgres::Role;
use service::store::{POSTGRES, StoreError};

use super::output::{platform, pool, print};
use crate::config;
use crate::life::stores;

/// `weir river`.
pub(crate) async fn river(json: bool) -> anyhow::Result<ExitCode> {
    let (config, pool) = (config::stores()?, pool(Role::Api)?);
    let clickhouse = clickhouse::client_with(&config.clickhouse, Patience::SERVING);
    let log = stores::open_log_to_look(&config).await;
    if let Err(error) = &log {
        eprintln!("weir: the log can't be opened: {error:#}");
    }
    let scope = || async { platform(&pool).await.map_err(|error| StoreError::retry(POSTGRES, error)) };
    let questions = Questions {
        books: async { Ok::<_, StoreError>(river::books(scope().await?.connection()).await?) },
        holdings: async { Ok(river::holdings(scope().await?.connection()).await?) },
        database_bytes: async { Ok(river::database_bytes(scope().await?.connection()).await?) },
    };
    let river = river::look(questions, &clickhouse, log.as_deref().ok()).await;
    print(json, &river, text)
}

fn text(river: &River) -> String {
    let River { books, partitions, spooled: _, disks, unknown } = river;
    let mut lines: Vec<String> = partitions.iter().map(partition).collect();
    if let Some(Books { processors, ingest_nodes, spools, database_bytes, .. }) = books {
        let processor = |of: &river::ProcessorNode| format!("processor {}: lives", of.id);
        lines.extend(processors.iter().map(processor));
        lines.extend(ingest_nodes.iter().map(node));
        lines.extend(spools.iter().flatten().map(spool));
        lines.extend(database_bytes.map(|bytes| format!("Postgres: {bytes} bytes")));
    }
    lines.extend(disks.iter().map(disk));
    lines.extend(unknown.iter().map(|of| format!("not known: {}: {}", of.what, of.why)));
    lines.join("\n")
}

fn or_unknown(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

fn partition(of: &Partition) -> String {
    let owner = of.owner.map_or_else(|| "nobody".to_owned(), |owner| owner.to_string());
    let [end, next, lag] = [of.log_end, of.next_offset, of.lag].map(or_unknown);
    let state = match (&of.halted_reason, of.halted_at) {
        (Some(reason), Some(since)) => format!("halted since {since}: {reason}"),
        _ => format!("by {owner}"),
    };
    format!("partition {}: processed to {next} of {end}, {lag} records behind, {state}", of.partition)
}

fn node(of: &IngestNode) -> String {
    let IngestNode { id, started_at, lease_until, .. } = of;
    let [leases, held] = [of.leases, of.held].map(or_unknown);
    let state = if lease_until.is_some() { "lives" } else { "has ended" };
    format!("ingest node {id}: {state}, since {started_at}; {leases} leases hold {held} events of quota")
}

fn spool(of: &Spool) -> String {
    let Spool { id, since, ended, .. } = of;
    format!("spool {id}: since {since}, {ended} ended nodes wait for it")
}

fn disk(of: &Disk) -> String {
    let Disk { of, folder, free_bytes, total_bytes } = of;
    format!("disk of {of} ({}): {free_bytes} of {total_bytes} bytes free", folder.display())
}
