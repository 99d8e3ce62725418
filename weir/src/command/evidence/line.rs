//! `weir evidence line`: what a figure of usage stands on.

use std::fmt::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Args;
use proof::line::{Evidence, Figure, Stretch, Total};
use schemas::outcome::METER_EVENTS;
use schemas::time::Micros;
use service::postgres::Role;

use super::time;
use crate::command::output::{find, pool, print};
use crate::config;

#[derive(Debug, Args)]
pub(crate) struct EvidenceLine {
    /// The tenant's name or id
    tenant: String,
    /// Start of the billing period, as in 2027-01-01T00:00:00Z
    period: DateTime<Utc>,
}

impl EvidenceLine {
    pub(super) async fn carry_out(self, json: bool) -> anyhow::Result<ExitCode> {
        let (config, _) = config::processor()?;
        let tenant = find(&pool(Role::Api)?, &self.tenant).await?.tenant();
        let period = Micros(self.period.timestamp_micros());
        let figure = Figure { tenant, meter: METER_EVENTS, period, below: None };
        let (pool, clickhouse) = (pool(Role::Processor)?, service::clickhouse::client(&config.clickhouse));
        let found = proof::evidence(&pool, &clickhouse, figure).await?;
        print(json, &found, text)?;
        Ok(if found.mismatches().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(found: &Evidence) -> String {
    let mut text = String::new();
    let mut line = |what: &str, total: &Total| {
        let Total { events, event_hashes, content_hashes, .. } = total;
        let _ = writeln!(
            text,
            "{what}: {events} events, hashes {event_hashes:016x}, contents {content_hashes:016x}"
        );
    };
    for Stretch { partition, first, last, total } in &found.partitions {
        line(&format!("partition {partition}, positions {first} to {last}"), total);
    }
    if found.removed_for_age.events > 0 {
        line("removed for their age", &found.removed_for_age);
    }
    line("all", &found.total);
    if let Some(usage) = &found.usage {
        line("usage", usage);
    }
    for seal in &found.seals {
        let _ = writeln!(
            text,
            "seal {} of the hour {}: {} events, root {}",
            seal.number,
            time(seal.hour),
            seal.events,
            seal.root
        );
    }
    let mismatches = found.mismatches();
    if mismatches.is_empty() {
        return text + "everything agrees";
    }
    for mismatch in mismatches {
        let _ = writeln!(text, "MISMATCH: {mismatch}");
    }
    text
}
