//! Comparing what was promised with what is stored.

use serde::Serialize;

use super::states::States;
use super::{Journal, Promise};

/// How many ids a violation names.
const NAMED_MAX: usize = 10;

/// What a check found. The names I1 and I2 are those of the fault campaign's invariants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// Events of which every attempt was refused.
    pub refused: u64,
    /// Events without a promise.
    pub unknown: u64,
    /// Of those, how many are stored.
    pub unknown_stored: u64,
    /// Different ids of the run that are stored.
    pub stored: u64,
    /// Stored ids that do not have the run's prefix: not looked at.
    pub of_others: u64,
    /// I1: acknowledged, not stored.
    pub lost: Violations,
    /// I1: stored more than once, whatever was promised.
    pub stored_twice: Violations,
    /// I2: refused, yet stored.
    pub refused_but_stored: Violations,
    /// I2: stored with the run's prefix, yet never sent.
    pub never_sent: Violations,
}

/// Events that break one invariant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Violations {
    /// How many.
    pub count: u64,
    /// The ids of the first few.
    pub first: Vec<String>,
}

impl Violations {
    fn add(&mut self, id: String) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(id);
        }
    }
}

impl CheckReport {
    /// Whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.violations().iter().all(|(_, violations)| violations.count == 0)
    }

    fn violations(&self) -> [(&'static str, &Violations); 4] {
        [
            ("I1 acknowledged, not stored", &self.lost),
            ("I1 stored more than once", &self.stored_twice),
            ("I2 refused, but stored", &self.refused_but_stored),
            ("I2 stored, but never sent", &self.never_sent),
        ]
    }
}

impl std::fmt::Display for CheckReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { acknowledged, refused, unknown, unknown_stored, stored, .. } = self;
        writeln!(f, "promised   acknowledged {acknowledged}   refused {refused}   unknown {unknown}")?;
        writeln!(f, "stored     {stored}, of them unknown {unknown_stored}")?;
        for (name, violations) in self.violations() {
            write!(f, "{name:<28} {}", violations.count)?;
            for id in &violations.first {
                write!(f, "\n    {id}")?;
            }
            if violations.count > violations.first.len() as u64 {
                write!(f, "\n    ...")?;
            }
            writeln!(f)?;
        }
        f.write_str(if self.holds() { "every promise was kept" } else { "PROMISES WERE BROKEN" })
    }
}

/// A check under way, for stored events that come in a stream. Takes half a byte for each event.
#[derive(Debug)]
pub struct Check<'a> {
    journal: &'a Journal,
    /// How often each id was found: 0, 1 or more.
    found: States,
    report: CheckReport,
}

impl<'a> Check<'a> {
    /// A check in which nothing is stored so far.
    #[must_use]
    pub fn new(journal: &'a Journal) -> Self {
        let report = CheckReport {
            acknowledged: 0,
            refused: 0,
            unknown: 0,
            unknown_stored: 0,
            stored: 0,
            of_others: 0,
            lost: Violations::default(),
            stored_twice: Violations::default(),
            refused_but_stored: Violations::default(),
            never_sent: Violations::default(),
        };
        Self { journal, found: States::default(), report }
    }

    /// `id` is stored `count` times. An id may come more than once; its counts add up.
    pub fn stored(&mut self, id: &str, count: u64) {
        if count == 0 {
            return;
        }
        if !id.starts_with(self.journal.id_prefix()) {
            self.report.of_others += 1;
            return;
        }
        let place = self.journal.place(id).filter(|(c, s)| self.journal.outcome(*c, *s).is_some());
        let Some((connection, sequence)) = place else {
            self.report.never_sent.add(id.to_owned());
            return;
        };
        let before = self.found.get(connection, sequence);
        let total = count.saturating_add(before.into()).min(States::MAX.into());
        self.found.set(connection, sequence, u8::try_from(total).unwrap_or(States::MAX));
    }

    /// What was found, once every stored event has been shown.
    #[must_use]
    pub fn finish(self) -> CheckReport {
        let Self { journal, found, mut report } = self;
        for (connection, sequence, outcome) in journal.events() {
            let copies = found.get(connection, sequence);
            let id = || journal.id(connection, sequence);
            report.stored += u64::from(copies > 0);
            if copies > 1 {
                report.stored_twice.add(id());
            }
            match outcome {
                Promise::Acknowledged => {
                    report.acknowledged += 1;
                    if copies == 0 {
                        report.lost.add(id());
                    }
                }
                Promise::Refused => {
                    report.refused += 1;
                    if copies > 0 {
                        report.refused_but_stored.add(id());
                    }
                }
                Promise::Unknown => {
                    report.unknown += 1;
                    report.unknown_stored += u64::from(copies > 0);
                }
            }
        }
        report
    }
}

/// Compares a journal with what is stored: ids, and how many rows each has.
pub fn check<Id: AsRef<str>>(journal: &Journal, stored: impl IntoIterator<Item = (Id, u64)>) -> CheckReport {
    let mut check = Check::new(journal);
    for (id, count) in stored {
        check.stored(id.as_ref(), count);
    }
    check.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events 0..4 acknowledged, 4 and 5 refused, 6 and 7 unknown.
    fn journal() -> Journal {
        let text = concat!(
            r#"{"journal":1,"seed":"0000000000000001","prefix":"l-0000000000000001-","connections":1,"batch":4,"#,
            r#""event_bytes":300,"gzip":false,"retry_share":0,"retry":false,"targets":[]}"#,
            "\nsent 1 0 0+4\nacknowledged 1 0\nsent 1 0 4+2\nrefused 1 0 402 quota_exceeded\nsent 1 0 6+2\n"
        );
        Journal::parse(text.as_bytes()).unwrap()
    }

    fn id(sequence: u32) -> String {
        format!("l-0000000000000001-0000-{sequence:08x}")
    }

    fn check_stored(stored: &[(u32, u64)]) -> CheckReport {
        check(&journal(), stored.iter().map(|(sequence, count)| (id(*sequence), *count)))
    }

    #[test]
    fn kept_promises_hold_whether_the_unknown_are_stored_or_not() {
        let without = check_stored(&[(0, 1), (1, 1), (2, 1), (3, 1)]);
        assert!(without.holds(), "{without}");
        let with = check_stored(&[(0, 1), (1, 1), (2, 1), (3, 1), (6, 1), (7, 1)]);
        assert!(with.holds(), "{with}");
        assert_eq!((with.acknowledged, with.refused, with.unknown), (4, 2, 2));
        assert_eq!((with.stored, with.unknown_stored), (6, 2));
    }

    #[test]
    fn one_lost_event_is_found_and_named() {
        let report = check_stored(&[(0, 1), (1, 1), (3, 1)]);
        assert_eq!(report.lost, Violations { count: 1, first: vec![id(2)] });
        assert!(!report.holds());
        assert!(report.to_string().contains(&id(2)));
    }

    #[test]
    fn one_event_stored_twice_is_found_in_one_row_or_two() {
        for stored in [&[(0, 1), (1, 2), (2, 1), (3, 1)][..], &[(0, 1), (1, 1), (2, 1), (1, 1), (3, 1)]] {
            let report = check_stored(stored);
            assert_eq!(report.stored_twice, Violations { count: 1, first: vec![id(1)] });
            assert!(!report.holds());
        }
        assert_eq!(check_stored(&[(0, 1), (1, 1), (2, 1), (3, 1), (7, u64::MAX)]).stored_twice.count, 1);
    }

    #[test]
    fn one_refused_event_that_is_stored_is_found() {
        let report = check_stored(&[(0, 1), (1, 1), (2, 1), (3, 1), (5, 1)]);
        assert_eq!(report.refused_but_stored, Violations { count: 1, first: vec![id(5)] });
        assert!(!report.holds());
    }

    #[test]
    fn a_stored_event_that_was_never_sent_is_found_and_other_runs_are_not() {
        let stored =
            (0..4).map(id).chain([id(8), "l-0000000000000002-0000-00000000".to_owned(), "x".to_owned()]);
        let report = check(&journal(), stored.map(|id| (id, 1)));
        assert_eq!(report.never_sent, Violations { count: 1, first: vec![id(8)] });
        assert_eq!(report.of_others, 2);
    }

    #[test]
    fn only_the_first_few_are_named() {
        let report = check(&journal(), (100..200).map(|sequence| (id(sequence), 1)));
        assert_eq!((report.never_sent.count, report.never_sent.first.len()), (100, NAMED_MAX));
    }
}
