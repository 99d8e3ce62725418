//! `weir verify`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use proof::repair::{self, Repair};
use proof::{Head, Stores, Unread, Verdict, verify};
use service::postgres::Role;
use service::store::StoreError;

use super::output::{pool, print, say};
use super::replay;
use crate::config;
use crate::life::stores;

/// `weir verify`, when log, ledgers and rows could not all be read: neither proved nor disproved.
const EXIT_UNPROVED: u8 = 2;

/// `weir verify`.
pub(crate) async fn verify(
    heads: Option<PathBuf>,
    keep_heads: Option<PathBuf>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let proved = async {
        let heads = heads.map(|file| read_heads(&file)).transpose()?.unwrap_or_default();
        let verdict = with_stores(async |stores| verify::verify_since(stores, &heads).await).await?;
        if let Some(file) = keep_heads.filter(|_| verdict.holds()) {
            let written =
                File::create_new(&file).map(|out| serde_json::to_writer_pretty(out, &verdict.heads));
            written.with_context(|| format!("{} can't be made", file.display()))??;
        }
        anyhow::Ok(verdict)
    };
    let Some(verdict) = or_unproved(proved.await) else { return Ok(ExitCode::from(EXIT_UNPROVED)) };
    print(json, &verdict, verdict_text)?;
    Ok(exit_code(&verdict))
}

/// What could not be read is neither proved nor disproved; what does not agree is disproved.
fn exit_code(verdict: &Verdict) -> ExitCode {
    match verdict {
        verdict if verdict.holds() => ExitCode::SUCCESS,
        verdict if verdict.mismatch_count == 0 => ExitCode::from(EXIT_UNPROVED),
        _ => ExitCode::FAILURE,
    }
}

/// `weir verify --repair`.
pub(crate) async fn repair(json: bool) -> anyhow::Result<ExitCode> {
    let mended = with_stores(async |stores| repair::repair(stores).await).await;
    let Some(Repair { done, verdict }) = or_unproved(mended) else {
        return Ok(ExitCode::from(EXIT_UNPROVED));
    };
    if json {
        say(&serde_json::json!({"done": done, "verdict": verdict}).to_string())?;
    } else {
        say(&replay::text(&done))?;
        print(false, &verdict, verdict_text)?;
    }
    Ok(exit_code(&verdict))
}

async fn with_stores<T>(work: impl AsyncFnOnce(&Stores<'_>) -> Result<T, StoreError>) -> anyhow::Result<T> {
    let (config, processor) = config::processor()?;
    let (pool, log) = (pool(Role::Processor)?, stores::open_log_to_look(&config).await?);
    let clickhouse = service::clickhouse::client(&config.clickhouse);
    Ok(work(&Stores::new(&pool, &clickhouse, &*log, &processor)).await?)
}

fn or_unproved<T>(proved: anyhow::Result<T>) -> Option<T> {
    proved.inspect_err(|error| eprintln!("weir: nothing was proved either way: {error:#}")).ok()
}

fn read_heads(file: &Path) -> anyhow::Result<Vec<Head>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no heads", file.display()))
}

fn verdict_text(verdict: &Verdict) -> String {
    let mut text = format!(
        "accepted {} (and {} that the log no longer has)\nstored {} + duplicate {} + dead {}\nrows {}, and \
         {} that were erased{}\ncontents of {} are known by their hash, of {} they are not; {} were enriched \
         otherwise than today\nquotas of {} periods; {} seals, {} without their rows; \
         {} hours without a seal before later ones\n",
        verdict.accepted,
        verdict.beyond_log,
        verdict.stored,
        verdict.duplicate,
        verdict.dead,
        verdict.rows,
        verdict.erased,
        if verdict.erasing { ", some of which are being deleted" } else { "" },
        verdict.hashed,
        verdict.unhashed,
        verdict.enriched_otherwise,
        verdict.quotas,
        verdict.seals,
        verdict.seals_without_rows,
        verdict.unsealed
    );
    for mismatch in &verdict.mismatches {
        text += &format!("MISMATCH {mismatch}\n");
    }
    for Unread { partition, events, why } in &verdict.unread {
        text += &format!("UNREAD partition {partition}, {events} events by its ledger: {why}\n");
    }
    text + &match verdict.mismatch_count {
        0 if !verdict.unread.is_empty() => "everything agrees that could be read".to_owned(),
        0 => "everything agrees".to_owned(),
        count => format!("{count} figures do not agree"),
    }
}
