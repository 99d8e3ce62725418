//! One line of the journal, as text and back.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};

use super::IdRange;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Milliseconds since the run began.
    pub(crate) at_ms: u64,
    pub(crate) connection: u16,
    pub(crate) entry: Entry,
}

/// What a line says about its connection's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// About to be sent.
    Sent(Vec<IdRange>),
    /// All of it was taken.
    Acknowledged,
    /// All but the events at these indexes, which are in order.
    Partly(Vec<u32>),
    /// None of it was taken.
    Refused { status: u16, code: String },
    /// No usable reply.
    Unknown { why: String },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at_ms, connection, entry } = self;
        match entry {
            Entry::Sent(ranges) => {
                write!(f, "sent {at_ms} {connection} ")?;
                list(f, ranges.iter().map(|range| (range.first, '+', range.count)))
            }
            Entry::Acknowledged => write!(f, "acknowledged {at_ms} {connection}"),
            Entry::Partly(refused) => {
                write!(f, "partly {at_ms} {connection} ")?;
                let runs = refused.chunk_by(|a, b| a.checked_add(1) == Some(*b));
                list(f, runs.filter_map(|run| Some((*run.first()?, '-', *run.last()?))))
            }
            Entry::Refused { status, code } => write!(f, "refused {at_ms} {connection} {status} {code}"),
            Entry::Unknown { why } => write!(f, "unknown {at_ms} {connection} {why}"),
        }
    }
}

/// Pairs with commas between them; a pair `n-n` is written `n`.
fn list(f: &mut fmt::Formatter<'_>, pairs: impl Iterator<Item = (u32, char, u32)>) -> fmt::Result {
    for (at, (first, sign, second)) in pairs.enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        if sign == '-' && first == second {
            write!(f, "{first}")?;
        } else {
            write!(f, "{first}{sign}{second}")?;
        }
    }
    Ok(())
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut words = text.split(' ');
        let mut word = |name: &'static str| words.next().context(name);
        let kind = word("no kind")?;
        let at_ms = word("no time")?.parse().context("time")?;
        let connection = word("no connection")?.parse().context("connection")?;
        let entry = match kind {
            "sent" => Entry::Sent(word("no ranges")?.split(',').map(range).collect::<anyhow::Result<_>>()?),
            "acknowledged" => Entry::Acknowledged,
            "partly" => Entry::Partly(indexes(word("no indexes")?)?),
            "refused" => Entry::Refused {
                status: word("no status")?.parse().context("status")?,
                code: word("no code")?.to_owned(),
            },
            "unknown" => Entry::Unknown { why: word("no reason")?.to_owned() },
            _ => bail!("no line begins with `{kind}`"),
        };
        anyhow::ensure!(words.next().is_none(), "more words than a `{kind}` line has");
        Ok(Self { at_ms, connection, entry })
    }
}

fn range(text: &str) -> anyhow::Result<IdRange> {
    let (first, count) = text.split_once('+').context("a range is first+count")?;
    let range = IdRange { first: first.parse()?, count: count.parse()? };
    range.first.checked_add(range.count).context("a range ends beyond the last sequence number")?;
    Ok(range)
}

fn indexes(text: &str) -> anyhow::Result<Vec<u32>> {
    let mut indexes = Vec::new();
    for run in text.split(',') {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let (first, last): (u32, u32) = (first.parse()?, last.parse()?);
        anyhow::ensure!(first <= last && last < 1_000_000, "no request has the indexes {run}");
        indexes.extend(first..=last);
    }
    Ok(indexes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let range = (0..u32::MAX / 2, 1..1_000_u32).prop_map(|(first, count)| IdRange { first, count });
        prop_oneof![
            vec(range, 1..4).prop_map(Entry::Sent),
            Just(Entry::Acknowledged),
            btree_set(0..1_000_u32, 1..50).prop_map(|set| Entry::Partly(set.into_iter().collect())),
            (400..500_u16, "[a-z_]{1,20}").prop_map(|(status, code)| Entry::Refused { status, code }),
            "[a-z_-]{1,20}".prop_map(|why| Entry::Unknown { why }),
        ]
    }

    proptest! {
        #[test]
        fn a_line_survives_its_text(at_ms: u64, connection: u16, entry in entry()) {
            let line = Line { at_ms, connection, entry };
            prop_assert_eq!(line.to_string().parse::<Line>().unwrap(), line);
        }
    }

    #[test]
    fn lines_read_as_documented() {
        let at = |entry| Line { at_ms: 15, connection: 3, entry }.to_string();
        let ranges = vec![IdRange { first: 400, count: 90 }, IdRange { first: 17, count: 10 }];
        assert_eq!(at(Entry::Sent(ranges)), "sent 15 3 400+90,17+10");
        assert_eq!(at(Entry::Acknowledged), "acknowledged 15 3");
        assert_eq!(at(Entry::Partly(vec![0, 7, 8, 9])), "partly 15 3 0,7-9");
        let refused = Entry::Refused { status: 402, code: "quota_exceeded".to_owned() };
        assert_eq!(at(refused), "refused 15 3 402 quota_exceeded");
        assert_eq!(at(Entry::Unknown { why: "deadline".to_owned() }), "unknown 15 3 deadline");
    }

    #[test]
    fn other_lines_are_refused() {
        for text in [
            "",
            "sent",
            "sent 1 2",
            "sent 1 2 3",
            "sent 1 2 3+4 5",
            "sent 1 70000 3+4",
            "sent 1 2 4294967295+9",
            "partly 1 2 9-3",
            "partly 1 2 0-4000000000",
            "acknowledged 1",
            "done 1 2",
        ] {
            assert!(text.parse::<Line>().is_err(), "{text}");
        }
    }
}
