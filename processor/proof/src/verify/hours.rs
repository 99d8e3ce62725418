//! Tenants' hours: usage, what was erased, seals, rows and log side by side, in order, one tenant's hour in memory.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use clickhouse::Client;
use metering::ledger::Counts;
use schemas::id::TenantId;
use schemas::time::Micros;
use service::store::StoreError;

use super::by_log::ByLog;
use crate::books::{BilledHour, Books, HourOf, Span, UNKNOWN};
use crate::db::events::{self, Rows};
use crate::runs::{Hashes, Line, Runs, Sums, Writer, merge};
use crate::scratch::{blocking, disk_failed};
use crate::verdict::Verdict;

/// Lines that are written at once.
pub(crate) const LINES_AT_ONCE: usize = 20_000;

/// What is known of hours: what the ledgers say, and what rows there are.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) said: Runs,
    pub(crate) rows: Runs,
}

/// Reads the rows before the cursors.
pub(crate) async fn read_rows(
    books: &Books,
    client: &Client,
    scratch: &std::path::Path,
) -> Result<Runs, StoreError> {
    let mut runs = Runs::begin(scratch).map_err(disk_failed)?;
    let ends = books.ends();
    if ends.is_empty() {
        return Ok(runs);
    }
    let mut writer = runs.writer().map_err(disk_failed)?;
    let mut hours = events::hours(client, &Rows::without(books.erased.deleting.as_ref()), &ends)?;
    let mut lines = Vec::with_capacity(LINES_AT_ONCE);
    while let Some((hour, sum)) = hours.next().await? {
        let (rows, hashes) = (sum.counts.stored, Hashes::of(&sum));
        lines.push(Line { hour, sums: Sums { rows, hashes, ..Sums::default() } });
        if lines.len() == LINES_AT_ONCE {
            (writer, lines) = written(writer, lines).await?;
        }
    }
    (writer, _) = written(writer, lines).await?;
    runs.end(writer).map_err(disk_failed)?;
    Ok(runs)
}

/// Writes the lines where it holds up nobody.
pub(crate) async fn written(
    mut writer: Writer,
    mut lines: Vec<Line>,
) -> Result<(Writer, Vec<Line>), StoreError> {
    blocking(move || {
        writer.add(&lines)?;
        lines.clear();
        Ok((writer, lines))
    })
    .await
}

/// By tenant, project, hour and period: the rows before the cursors are what is billed, less what was erased; no more
/// is sealed than stored. If the log is whole, usage is what it comes to.
pub(super) async fn check(
    books: &Arc<Books>,
    known: Known,
    by_log: Option<ByLog>,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let (books, mut checked) = (Arc::clone(books), std::mem::take(verdict));
    *verdict = blocking(move || {
        let unattributed = by_log.as_ref().map(|by_log| by_log.unattributed);
        let undecided = by_log.as_ref().map(|by_log| by_log.undecided.clone()).unwrap_or_default();
        let log = by_log.map(ByLog::finish).transpose()?;
        let mut all = vec![&known.said, &known.rows];
        all.extend(&log);
        let (mut usage, mut unsealed) = (Counts::default(), 0);
        each_tenant_hour(&all, |lines| {
            lines.iter().for_each(|line| usage += line.sums.counted);
            unsealed += check_seals(&books.sealed_to, lines, &mut checked);
            check_rows(lines, &mut checked);
            if log.is_some() {
                check_log(lines, &undecided, &mut checked);
            }
        })?;
        checked.unsealed = unsealed;
        check_sums(&usage, unattributed, &mut checked);
        Ok(checked)
    })
    .await?;
    Ok(())
}

/// Hours in which the rows of some tenant are not what is billed.
pub(crate) async fn wrong(known: Known) -> Result<BTreeSet<Micros>, StoreError> {
    blocking(move || {
        let mut wrong = BTreeSet::new();
        each_tenant_hour(&[&known.said, &known.rows], |lines| {
            let is_wrong = compared(lines).iter().any(|of| of.rows != of.kept);
            wrong.extend(lines.first().filter(|_| is_wrong).map(|line| line.hour.of.hour));
        })?;
        Ok(wrong)
    })
    .await
}

/// What all say of one hour of one tenant after the other.
fn each_tenant_hour(all: &[&Runs], mut each: impl FnMut(&[Line])) -> io::Result<()> {
    let mut lines: Vec<Line> = Vec::new();
    let of = |line: &Line| (line.hour.of.hour, line.hour.of.tenant);
    merge(all, |line| {
        if lines.last().is_some_and(|last| of(last) != of(&line)) {
            each(&lines);
            lines.clear();
        }
        lines.push(line);
        Ok(())
    })?;
    each(&lines);
    Ok(())
}

/// What rows and ledgers say of an hour.
struct Compared {
    hour: BilledHour,
    rows: i64,
    /// What is billed, less what was erased.
    kept: i64,
    hashes: Hashes,
}

/// The hours of a tenant. Where rows do not say their period, an hour's periods are compared together.
fn compared(lines: &[Line]) -> Vec<Compared> {
    let mut compared: Vec<Compared> = Vec::with_capacity(lines.len());
    for lines in lines.chunk_by(|a, b| a.hour.of == b.hour.of) {
        let is_of_none =
            |line: &Line| line.hour.period == UNKNOWN && (line.sums.rows, line.sums.erased) != (0, 0);
        let are_together = lines.iter().any(is_of_none);
        for Line { hour, sums } in lines {
            let (rows, kept, hashes) = (sums.rows, sums.counted.stored - sums.erased, sums.hashes);
            match compared.last_mut() {
                Some(last) if are_together && last.hour.of == hour.of => {
                    last.rows += rows;
                    last.kept += kept;
                    last.hashes.add(&hashes);
                }
                _ => {
                    let period = if are_together { UNKNOWN } else { hour.period };
                    compared.push(Compared { hour: BilledHour { period, ..*hour }, rows, kept, hashes });
                }
            }
        }
    }
    compared
}

fn check_rows(lines: &[Line], verdict: &mut Verdict) {
    for Compared { hour, rows, kept, hashes } in compared(lines) {
        let what = || format!("{hour:?}");
        verdict.expect(what, ("rows", &rows), ("billed, less what was erased", &kept));
        if hashes.unhashed == 0 {
            let (ids, contents) = (hashes.xor_hash, hashes.xor_contents);
            verdict.expect(what, ("hashes of rows and usage together", &ids), ("expected", &0));
            verdict.expect(what, ("hashes of contents and usage together", &contents), ("expected", &0));
        }
    }
}

/// How many periods of the hour are not sealed, in whole or in part, while a later hour of the tenant is.
fn check_seals(sealed_to: &HashMap<TenantId, Micros>, lines: &[Line], verdict: &mut Verdict) -> i64 {
    let Some(HourOf { hour, tenant, .. }) = lines.first().map(|line| line.hour.of) else { return 0 };
    let Some(last) = sealed_to.get(&tenant) else { return 0 };
    let mut periods: Vec<(Micros, i64, i64)> = Vec::new();
    for Line { hour: BilledHour { period, .. }, sums } in lines {
        let (stored, sealed) = (sums.counted.stored, sums.sealed);
        match periods.iter_mut().find(|of| of.0 == *period) {
            Some(of) => *of = (of.0, of.1 + stored, of.2 + sealed),
            None => periods.push((*period, stored, sealed)),
        }
    }
    for (period, stored, sealed) in periods.iter().filter(|(_, stored, sealed)| sealed > stored) {
        let span = Span { hour, tenant, period: *period };
        verdict.expect(|| format!("{span:?}"), ("sealed", sealed), ("in usage", stored));
    }
    let is_passed_over = |(_, stored, sealed): &&(Micros, i64, i64)| hour < *last && stored > sealed;
    i64::try_from(periods.iter().filter(is_passed_over).count()).unwrap_or(i64::MAX)
}

fn check_log(lines: &[Line], undecided: &BTreeSet<HourOf>, verdict: &mut Verdict) {
    for lines in lines.chunk_by(|a, b| a.hour.of == b.hour.of) {
        let Some(of) = lines.first().map(|line| line.hour.of) else { continue };
        // A letter's period is not kept: what is dead is compared by hour.
        let accepted = |counts: fn(&Sums) -> Counts| -> i64 {
            lines.iter().map(|line| counts(&line.sums).accepted()).sum()
        };
        let (found, counted) = (accepted(|sums| sums.judged), accepted(|sums| sums.counted));
        verdict.expect(|| format!("{of:?}"), ("accepted", &found), ("stored + duplicate + dead", &counted));
        if undecided.contains(&of) {
            continue;
        }
        for Line { hour, sums: Sums { judged, counted, .. } } in lines {
            let what = || format!("{hour:?}");
            verdict.expect(what, ("stored by the log", &judged.stored), ("in usage", &counted.stored));
            verdict.expect(
                what,
                ("duplicate by the log", &judged.duplicate),
                ("in usage", &counted.duplicate),
            );
        }
    }
}

/// Usage is what the ledger's ranges come to, and all that was accepted, if the log says how much that is.
fn check_sums(usage: &Counts, unattributed: Option<i64>, verdict: &mut Verdict) {
    let what = || "usage of all tenants".to_owned();
    let (stored, duplicate, accepted) = (verdict.stored, verdict.duplicate, verdict.accepted);
    verdict.expect(what, ("stored", &usage.stored), ("by the ledger", &stored));
    verdict.expect(what, ("duplicate", &usage.duplicate), ("by the ledger", &duplicate));
    if let Some(unattributed) = unattributed {
        let metered = usage.accepted() + unattributed;
        verdict.expect(
            || "all".to_owned(),
            ("metered, and dead without a tenant", &metered),
            ("accepted", &accepted),
        );
    }
}
