//! Reading a journal back: what was promised about each event.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;

use super::states::States;
use super::{Entry, IdRange, Line, Promise, RunHeader, VERSION};
use crate::load::id::RunId;

/// A journal as read: a quarter of a byte for each event.
#[derive(Debug)]
pub struct Journal {
    header: RunHeader,
    run_id: RunId,
    states: States,
}

impl Journal {
    /// Reads a whole journal. A last line without its end, as a kill leaves it, is ignored.
    ///
    /// # Errors
    /// If the file can't be read, or any other line is not one that a run writes.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("can't open the journal {}", path.display()))?;
        Self::parse(BufReader::new(file)).with_context(|| format!("the journal {}", path.display()))
    }

    pub(crate) fn parse(mut text: impl BufRead) -> anyhow::Result<Self> {
        let mut line = String::new();
        anyhow::ensure!(next_line(&mut text, &mut line)?, "it ends before its header does");
        let header: RunHeader = serde_json::from_str(&line).context("line 1 is not a header")?;
        anyhow::ensure!(header.journal == VERSION, "version {} is not known", header.journal);
        let run_id = RunId(u64::from_str_radix(&header.seed, 16).context("the header's seed")?);
        anyhow::ensure!(
            header.prefix == run_id.prefix(),
            "the header's prefix does not follow from its seed"
        );

        let mut journal = Self { header, run_id, states: States::default() };
        let mut under_way = HashMap::new();
        for number in 2_u64.. {
            if !next_line(&mut text, &mut line)? {
                break;
            }
            let parsed = line.parse().with_context(|| format!("line {number}"))?;
            journal.apply(parsed, &mut under_way).with_context(|| format!("line {number}"))?;
        }
        Ok(journal)
    }

    /// Notes what a line says. An intent makes its events unknown until its outcome comes.
    fn apply(&mut self, line: Line, under_way: &mut HashMap<u16, Request>) -> anyhow::Result<()> {
        let connection = line.connection;
        anyhow::ensure!(connection < self.header.connections, "the run had no connection {connection}");
        if let Entry::Sent(ranges) = line.entry {
            let before = ranges.iter().flat_map(|range| range.sequences());
            let before = before.map(|sequence| self.states.get(connection, sequence)).collect();
            self.raise(connection, &ranges, |_| Promise::Unknown);
            under_way.insert(connection, Request { ranges, before });
            return Ok(());
        }
        let request = under_way.remove(&connection).context("an outcome without a request")?;
        match line.entry {
            Entry::Sent(_) | Entry::Unknown { .. } => {}
            Entry::Acknowledged => self.raise(connection, &request.ranges, |_| Promise::Acknowledged),
            Entry::Partly(refused) => {
                anyhow::ensure!(
                    refused.last().is_none_or(|last| (*last as usize) < request.before.len()),
                    "an index beyond the request"
                );
                self.settle(connection, &request, |at| match refused.binary_search(&at) {
                    Ok(_) => Promise::Refused,
                    Err(_) => Promise::Acknowledged,
                });
            }
            Entry::Refused { .. } => self.settle(connection, &request, |_| Promise::Refused),
        }
        Ok(())
    }

    /// Lifts the events to their outcome, unless they have a stronger one.
    fn raise(&mut self, connection: u16, ranges: &[IdRange], outcome: impl Fn(u32) -> Promise) {
        for (at, sequence) in (0..).zip(ranges.iter().flat_map(|range| range.sequences())) {
            let state = self.states.get(connection, sequence).max(state_of(outcome(at)));
            self.states.set(connection, sequence, state);
        }
    }

    /// Takes back the unknown of the intent, which is known now, then lifts.
    fn settle(&mut self, connection: u16, request: &Request, outcome: impl Fn(u32) -> Promise) {
        let sequences = request.ranges.iter().flat_map(|range| range.sequences());
        for (sequence, before) in sequences.zip(&request.before) {
            self.states.set(connection, sequence, *before);
        }
        self.raise(connection, &request.ranges, outcome);
    }

    /// The parameters of the run.
    #[must_use]
    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    /// How every id of the run begins: what to look for among stored events.
    #[must_use]
    pub fn id_prefix(&self) -> &str {
        &self.header.prefix
    }

    /// Every event that was sent, and what was promised about it.
    pub fn outcomes(&self) -> impl Iterator<Item = (String, Promise)> + '_ {
        self.events().map(|(connection, sequence, outcome)| (self.id(connection, sequence), outcome))
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = (u16, u32, Promise)> + '_ {
        self.states
            .iter()
            .filter_map(|(connection, sequence, state)| Some((connection, sequence, outcome_of(state)?)))
    }

    pub(crate) fn id(&self, connection: u16, sequence: u32) -> String {
        self.run_id.event(connection, sequence)
    }

    /// Connection and sequence of an id of this run.
    pub(crate) fn place(&self, id: &str) -> Option<(u16, u32)> {
        self.run_id.parse(id)
    }

    pub(crate) fn outcome(&self, connection: u16, sequence: u32) -> Option<Promise> {
        outcome_of(self.states.get(connection, sequence))
    }
}

/// A request without an outcome so far.
#[derive(Debug)]
struct Request {
    ranges: Vec<IdRange>,
    /// The states of its events before it was sent.
    before: Vec<u8>,
}

fn state_of(outcome: Promise) -> u8 {
    match outcome {
        Promise::Refused => 1,
        Promise::Unknown => 2,
        Promise::Acknowledged => 3,
    }
}

fn outcome_of(state: u8) -> Option<Promise> {
    [Promise::Refused, Promise::Unknown, Promise::Acknowledged]
        .into_iter()
        .find(|outcome| state_of(*outcome) == state)
}

/// The next line that has its end; `false` if there is none.
fn next_line(text: &mut impl BufRead, line: &mut String) -> anyhow::Result<bool> {
    let mut bytes = Vec::new();
    text.read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Ok(false);
    }
    *line = String::from_utf8(bytes).context("a line is not text")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::Promise::{Acknowledged, Refused, Unknown};
    use super::*;
    use crate::load::LoadOptions;
    use crate::load::options::LoadPlan;

    fn read(lines: &str) -> anyhow::Result<Vec<(u32, Promise)>> {
        let options = LoadOptions { seed: Some(1), connections: 2, ..LoadOptions::to("http://a", "k") };
        let header = RunHeader::of(&LoadPlan::new(&options)?, &options);
        let journal = Journal::parse(format!("{}\n{lines}", serde_json::to_string(&header)?).as_bytes())?;
        Ok(journal.events().map(|(_, sequence, outcome)| (sequence, outcome)).collect())
    }

    #[test]
    fn an_intent_without_an_outcome_is_unknown() {
        assert_eq!(read("sent 1 0 5+2\n").unwrap(), [(5, Unknown), (6, Unknown)]);
    }

    #[test]
    fn an_outcome_holds_for_the_last_intent_of_its_connection() {
        let lines = "sent 1 0 0+1\nsent 1 1 7+1\nrefused 2 1 429 rate_limited\nacknowledged 2 0\n";
        assert_eq!(read(lines).unwrap(), [(0, Acknowledged), (7, Refused)]);
    }

    #[test]
    fn indexes_count_through_all_ranges_of_a_request() {
        let lines = "sent 1 0 10+2,5+2\npartly 2 0 1-2\n";
        assert_eq!(
            read(lines).unwrap(),
            [(5, Refused), (6, Acknowledged), (10, Acknowledged), (11, Refused)]
        );
    }

    #[test]
    fn the_strongest_outcome_of_an_id_wins_whatever_the_order() {
        let attempt = |outcome: &str| format!("sent 1 0 0+1\n{outcome}");
        let (ack, refused, unknown) =
            ("acknowledged 1 0\n", "refused 1 0 402 quota_exceeded\n", "unknown 1 0 deadline\n");
        for (first, second, expected) in [
            (ack, refused, Acknowledged),
            (refused, ack, Acknowledged),
            (unknown, ack, Acknowledged),
            (ack, unknown, Acknowledged),
            (unknown, refused, Unknown),
            (refused, unknown, Unknown),
            (refused, "", Unknown),
            (refused, refused, Refused),
        ] {
            let lines = attempt(first) + &attempt(second);
            assert_eq!(read(&lines).unwrap(), [(0, expected)], "{lines}");
        }
    }

    #[test]
    fn a_torn_last_line_is_ignored_at_every_length() {
        let (whole, last) = ("sent 1 0 0+1\n", "acknowledged 2 0\n");
        for cut in 0..last.len() {
            assert_eq!(read(&format!("{whole}{}", &last[..cut])).unwrap(), [(0, Unknown)], "{cut}");
        }
        assert_eq!(read(&format!("{whole}{last}")).unwrap(), [(0, Acknowledged)]);
    }

    #[test]
    fn a_broken_line_elsewhere_is_an_error_that_names_it() {
        let error = read("sent 1 0 0+1\nackn\nsent 2 0 1+1\n").unwrap_err();
        assert!(format!("{error:#}").contains("line 3"), "{error:#}");
        for lines in ["acknowledged 1 0\n", "sent 1 2 0+1\n", "sent 1 0 0+2\npartly 1 0 2\n"] {
            assert!(read(lines).is_err(), "{lines}");
        }
        assert!(Journal::parse(&b""[..]).is_err());
        assert!(Journal::parse(&b"{\"journal\":1"[..]).is_err());
    }
}
