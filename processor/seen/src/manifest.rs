//! The manifest: which runs make up the store, and what for. Replaced as a whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::str::FromStr;

use schemas::time::Micros;

use crate::hours::Hours;

/// Its file.
pub(super) const MANIFEST: &str = "manifest";
const TEMPORARY: &str = "manifest.tmp";
const FIRST_LINE: &str = "weir ids 1\n";

/// What a store was filled with and for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    /// The log's identity.
    pub(super) log: String,
    pub(super) partition: u32,
    /// What ids are known behind the cursor: see `partition_cursor.ids_generation`.
    pub(super) generation: i64,
    /// Ids are there that were received in so many hours.
    pub(super) window_hours: u64,
}

/// A run as the manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) number: u64,
    pub(super) span: i64,
    /// Of its header, which has the checksums of the rest.
    pub(super) header_crc: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) binding: Binding,
    /// The store holds every id that stands before this position; 0: it is not filled yet.
    pub(super) holds_below: u64,
    pub(super) hours: Hours,
    pub(super) next_run: u64,
    /// Oldest first.
    pub(super) runs: Vec<Listed>,
}

impl Manifest {
    /// Makes it the folder's manifest, and durable.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let temporary = folder.join(TEMPORARY);
        let mut file = File::create(&temporary)?;
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(MANIFEST))?;
        sync_folder(folder)
    }

    fn to_text(&self) -> String {
        let (binding, hours) = (&self.binding, &self.hours);
        let mut text = String::from(FIRST_LINE);
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // A String takes all that is written to it.
            let _ = writeln!(text, "{name} {value}");
        };
        line("log", &binding.log);
        line("partition", &binding.partition);
        line("generation", &binding.generation);
        line("window_hours", &binding.window_hours);
        line("holds_below", &self.holds_below);
        line("keep_from", &hours.keep_from);
        line("next_run", &self.next_run);
        if let Some(newest) = hours.newest {
            line("newest", &newest.0);
        }
        for run in &self.runs {
            line("run", &format_args!("{} {} {}", run.number, run.span, run.header_crc));
        }
        for (hour, first) in &hours.first {
            line("hour", &format_args!("{} {first}", hour.0));
        }
        let crc = crc32c::crc32c(text.as_bytes());
        text + &last_line(crc)
    }

    /// Reads what [`Manifest::write`] wrote; else what is wrong with it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        const DAMAGED: &str = "its manifest is damaged";
        let text = std::str::from_utf8(text).map_err(|_| DAMAGED)?;
        if !text.starts_with(FIRST_LINE) {
            return Err("it is not of a version that this program reads");
        }
        let body_len = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        let (body, end) = text.split_at(body_len);
        if end != last_line(crc32c::crc32c(body.as_bytes())) {
            return Err(DAMAGED);
        }
        Self::parse_body(body).ok_or(DAMAGED)
    }

    fn parse_body(body: &str) -> Option<Self> {
        let values = |name: &'static str| {
            body.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '))
        };
        let mut runs = Vec::new();
        for run in values("run") {
            let mut fields = run.split(' ');
            runs.push(Listed {
                number: next(&mut fields)?,
                span: next(&mut fields)?,
                header_crc: next(&mut fields)?,
            });
        }
        let mut first = BTreeMap::new();
        for hour in values("hour") {
            let mut fields = hour.split(' ');
            first.insert(Micros(next(&mut fields)?), next(&mut fields)?);
        }
        let newest = match values("newest").next() {
            Some(newest) => Some(Micros(newest.parse().ok()?)),
            None => None,
        };
        Some(Self {
            binding: Binding {
                log: values("log").next()?.to_owned(),
                partition: next(&mut values("partition"))?,
                generation: next(&mut values("generation"))?,
                window_hours: next(&mut values("window_hours"))?,
            },
            holds_below: next(&mut values("holds_below"))?,
            hours: Hours::saved(newest, next(&mut values("keep_from"))?, first),
            next_run: next(&mut values("next_run"))?,
            runs,
        })
    }
}

fn last_line(crc: u32) -> String {
    format!("crc32c {crc:08x}\n")
}

fn next<'a, T: FromStr>(values: &mut impl Iterator<Item = &'a str>) -> Option<T> {
    values.next()?.parse().ok()
}

/// Makes names created, renamed or removed in the folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            binding: Binding { log: "a log".to_owned(), partition: 3, generation: 4, window_hours: 168 },
            holds_below: 77,
            hours: Hours::saved(
                Some(Micros(9 * Micros::HOUR)),
                5,
                BTreeMap::from([(Micros(0), 6), (Micros(Micros::HOUR), 7)]),
            ),
            next_run: 9,
            runs: vec![Listed { number: 8, span: -1, header_crc: u32::MAX }],
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let text = manifest().to_text();
        assert_eq!(Manifest::parse(text.as_bytes()), Ok(manifest()), "{text}");
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let text = manifest().to_text().into_bytes();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                assert!(Manifest::parse(&changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Manifest::parse(&text[..at]).is_err(), "cut at {at}");
        }
    }
}
