//! `weir verify`.

use std::process::ExitCode;

use proof::repair::{self, Repair};
use proof::{Stores, Verdict, verify};
use service::postgres::Role;

use super::output::{pool, print, say};
use super::replay;
use crate::config;
use crate::life::stores;

/// `weir verify`, when log, ledgers and rows could not all be read: neither proved nor disproved.
const EXIT_UNPROVED: u8 = 2;

/// `weir verify`.
pub(crate) async fn verify(mend: bool, json: bool) -> anyhow::Result<ExitCode> {
    let (config, processor) = config::processor()?;
    let pool = pool(Role::Processor)?;
    let clickhouse = service::clickhouse::client(&config.clickhouse);
    let proved = async {
        let log = stores::open_log_to_look(&config).await?;
        let stores = Stores::new(&pool, &clickhouse, &*log, &processor);
        if !mend {
            return Ok((None, verify::verify(&stores).await?));
        }
        let Repair { done, verdict } = repair::repair(&stores).await?;
        anyhow::Ok((Some(done), verdict))
    };
    let (done, verdict) = match proved.await {
        Ok(proved) => proved,
        Err(error) => {
            eprintln!("weir: nothing was proved either way: {error:#}");
            return Ok(ExitCode::from(EXIT_UNPROVED));
        }
    };
    match (&done, json) {
        (Some(done), true) => {
            say(&serde_json::json!({"done": done, "verdict": verdict}).to_string())?;
        }
        (Some(done), false) => {
            say(&replay::text(done))?;
            print(false, &verdict, verdict_text)?;
        }
        (None, _) => {
            print(json, &verdict, verdict_text)?;
        }
    }
    Ok(if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict_text(verdict: &Verdict) -> String {
    let mut text = format!(
        "accepted {} (and {} that the log no longer has)\nstored {} + duplicate {} + dead {}\nrows {}, and \
         {} that were erased{}\ncontents of {} are known by their hash, of {} they are not; {} were enriched \
         otherwise than today\nquotas of {} periods; {} seals, {} without their rows\n",
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
        verdict.seals_without_rows
    );
    for mismatch in &verdict.mismatches {
        text += &format!("MISMATCH {mismatch}\n");
    }
    text + &match verdict.mismatch_count {
        0 => "everything agrees".to_owned(),
        count => format!("{count} figures do not agree"),
    }
}
