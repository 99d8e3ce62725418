use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use eventlog::{EventLog, LogError, Record};
use service::store::StoreError;

use crate::books::{Books, HourOf};
use crate::verdict::Verdict;
use processor::batch;

const READ_BYTES: usize = 8 << 20;
const READ_WAIT: Duration = Duration::from_secs(10);

/// What the log says was accepted.
#[derive(Default)]
struct Accepted {
    by_range: BTreeMap<(u32, u64), i64>,
    by_hour: BTreeMap<HourOf, i64>,
    /// Of records of which not even the envelope can be read.
    unattributed: i64,
}

/// Reads the log up to the cursors and compares it with the ledgers.
pub(super) async fn check(
    books: &Books,
    log: &dyn EventLog,
    verdict: &mut Verdict,
) -> Result<(), StoreError> {
    let bounds = log.bounds().await?;
    let mut whole = true;
    let mut starts: BTreeMap<u32, u64> = BTreeMap::new();
    for (partition, bounds) in (0_u32..).zip(&bounds) {
        let cursor = books.cursors.get(&partition).copied().unwrap_or(0);
        whole &= bounds.start == 0;
        starts.insert(partition, bounds.start.min(cursor));
    }
    let accepted = read(books, log, &starts).await?;
    for (&(partition, lo), &(hi, sum)) in &books.ranges {
        let counted = sum.counts.accepted();
        if lo < starts.get(&partition).copied().unwrap_or(0) {
            verdict.beyond_log += counted;
            continue;
        }
        let found = accepted.by_range.get(&(partition, lo)).copied().unwrap_or(0);
        verdict.accepted += found;
        verdict.expect(
            || format!("partition {partition}, offsets [{lo}, {hi})"),
            ("accepted", &found),
            ("stored + duplicate + dead", &counted),
        );
    }
    // Hours can be compared only while the log has every record of them.
    if whole {
        let usage = books.by_hour();
        let hours: BTreeSet<HourOf> = usage.keys().chain(accepted.by_hour.keys()).copied().collect();
        for hour in hours {
            let counted = usage.get(&hour).copied().unwrap_or_default().accepted();
            let found = accepted.by_hour.get(&hour).copied().unwrap_or(0);
            verdict.expect(
                || format!("{hour:?}"),
                ("accepted", &found),
                ("stored + duplicate + dead", &counted),
            );
        }
        let metered: i64 = books.usage.values().map(metering::ledger::Counts::accepted).sum();
        verdict.expect(
            || "all".to_owned(),
            ("metered, and dead without a tenant", &(metered + accepted.unattributed)),
            ("accepted", &verdict.accepted.clone()),
        );
    }
    Ok(())
}

async fn read(
    books: &Books,
    log: &dyn EventLog,
    starts: &BTreeMap<u32, u64>,
) -> Result<Accepted, StoreError> {
    let mut left: BTreeMap<u32, u64> = books
        .cursors
        .iter()
        .filter_map(|(partition, cursor)| {
            let start = *starts.get(partition)?;
            (start < *cursor).then_some((*partition, *cursor))
        })
        .collect();
    let mut accepted = Accepted::default();
    let from: Vec<(u32, u64)> =
        left.keys().map(|partition| (*partition, starts.get(partition).copied().unwrap_or(0))).collect();
    if from.is_empty() {
        return Ok(accepted);
    }
    let mut reader = log.reader(&from).await?;
    while !left.is_empty() {
        let records = reader.read(READ_BYTES, READ_WAIT).await?;
        if records.is_empty() {
            let why = "the log does not bring the records up to the cursors";
            return Err(LogError::Unavailable(why.to_owned()).into());
        }
        for record in &records {
            let Some(&cursor) = left.get(&record.partition) else { continue };
            count(books, record, &mut accepted);
            if record.offset + 1 >= cursor {
                left.remove(&record.partition);
            }
        }
    }
    Ok(accepted)
}

fn count(books: &Books, record: &Record, accepted: &mut Accepted) {
    let at = (record.partition, record.offset);
    let decoded = batch::decode_as_judged(std::slice::from_ref(record), &books.letters);
    let readable = decoded.events.iter().map(|placed| (Some(placed.envelope), 1));
    let unreadable = decoded.unreadable.iter().map(|rest| (rest.envelope, i64::from(rest.events)));
    for (envelope, events) in readable.chain(unreadable) {
        let hour = envelope.map(|envelope| HourOf {
            tenant: envelope.tenant,
            project: envelope.project,
            hour: envelope.received_at.hour(),
        });
        accepted.add(books, at, hour, events);
    }
    for letter in &decoded.letters {
        if let Some((hour, events)) = books.dead.get(letter) {
            accepted.add(books, at, *hour, *events);
        }
    }
}

impl Accepted {
    fn add(&mut self, books: &Books, at: (u32, u64), hour: Option<HourOf>, events: i64) {
        let range = books.ranges.range(..=at).next_back().map_or(at, |(key, _)| *key);
        *self.by_range.entry(range).or_default() += events;
        match hour {
            Some(hour) => *self.by_hour.entry(hour).or_default() += events,
            None => self.unattributed += events,
        }
    }
}
