//! Sums by hour in sorted runs on disk, which are merged: however many hours there are, one of each run is in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use metering::ledger::{Counts, Sum};
use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;

use crate::books::{BilledHour, HourOf};
use crate::scratch::{Folder, has_room};

/// Numbers of a line.
const NUMBERS: usize = 16;
const LINE_BYTES: usize = NUMBERS * 8;
/// Bytes of each run that are in memory.
const BUFFER_BYTES: usize = 64 << 10;
/// Runs that are merged at once; more are merged to one first.
const RUNS_MAX: usize = 64;

/// What usage, erasures, seals, rows and log say of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sums {
    /// In usage.
    pub(crate) counted: Counts,
    /// Rows that were taken out.
    pub(crate) erased: i64,
    /// Events in seals.
    pub(crate) sealed: i64,
    /// Rows in ClickHouse.
    pub(crate) rows: i64,
    /// By the log.
    pub(crate) judged: Counts,
    /// Of usage, of what was taken out, and of rows.
    pub(crate) hashes: Hashes,
}

/// Sums of hashes, of all who say something together: as each event is in usage, and in one of the others, they come
/// to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Hashes {
    /// Exclusive or over event hashes.
    pub(crate) xor_hash: i64,
    /// Events of which no hash is known: with any, the sums prove nothing.
    pub(crate) unhashed: i64,
    /// Exclusive or over content hashes.
    pub(crate) xor_contents: i64,
}

impl Hashes {
    pub(crate) fn of(sum: &Sum) -> Self {
        let Sum { counts, xor_hash, contents } = *sum;
        Self { xor_hash, unhashed: counts.stored - contents.hashed, xor_contents: contents.xor }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.xor_hash ^= other.xor_hash;
        self.unhashed += other.unhashed;
        self.xor_contents ^= other.xor_contents;
    }
}

impl Sums {
    pub(crate) fn add(&mut self, other: &Self) {
        self.counted += other.counted;
        self.erased += other.erased;
        self.sealed += other.sealed;
        self.rows += other.rows;
        self.judged += other.judged;
        self.hashes.add(&other.hashes);
    }
}

/// Sums of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) hour: BilledHour,
    pub(crate) sums: Sums,
}

impl Line {
    fn numbers(&self) -> [i64; NUMBERS] {
        let BilledHour { of: HourOf { hour, tenant, project }, period } = self.hour;
        let Sums { counted, erased, sealed, rows, judged, hashes } = self.sums;
        [
            hour.0,
            tenant.0,
            project.0,
            period.0,
            counted.stored,
            counted.duplicate,
            counted.dead,
            erased,
            sealed,
            rows,
            judged.stored,
            judged.duplicate,
            judged.dead,
            hashes.xor_hash,
            hashes.unhashed,
            hashes.xor_contents,
        ]
    }

    fn of(numbers: [i64; NUMBERS]) -> Self {
        let [hour, tenant, project, period, stored, duplicate, dead, erased, sealed, rows, ..] = numbers;
        let [.., by_log, by_log_duplicate, by_log_dead, xor_hash, unhashed, xor_contents] = numbers;
        let of = HourOf { hour: Micros(hour), tenant: TenantId(tenant), project: ProjectId(project) };
        let judged = Counts { stored: by_log, duplicate: by_log_duplicate, dead: by_log_dead };
        let counted = Counts { stored, duplicate, dead };
        let hashes = Hashes { xor_hash, unhashed, xor_contents };
        let sums = Sums { counted, erased, sealed, rows, judged, hashes };
        Self { hour: BilledHour { of, period: Micros(period) }, sums }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut bytes = [0; LINE_BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip(self.numbers()) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        out.write_all(&bytes)
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut numbers = [0; NUMBERS];
        let mut bytes = [0; 8];
        for number in &mut numbers {
            from.read_exact(&mut bytes)?;
            *number = i64::from_le_bytes(bytes);
        }
        Ok(Self::of(numbers))
    }
}

/// Sorted runs in a folder of their own.
#[derive(Debug)]
pub(crate) struct Runs {
    scratch: PathBuf,
    folder: Folder,
    next: u64,
    done: Vec<Run>,
}

/// A run that is whole.
#[derive(Debug, Clone, Copy)]
struct Run {
    number: u64,
    lines: u64,
}

/// A run that is being written, in the order of the hours.
#[derive(Debug)]
pub(crate) struct Writer {
    run: Run,
    out: BufWriter<File>,
}

impl Writer {
    pub(crate) fn add(&mut self, lines: &[Line]) -> io::Result<()> {
        for line in lines {
            line.write(&mut self.out)?;
        }
        self.run.lines += lines.len() as u64;
        Ok(())
    }
}

impl Runs {
    pub(crate) fn begin(scratch: &Path) -> io::Result<Self> {
        has_room(scratch, 0)?;
        Ok(Self { scratch: scratch.to_owned(), folder: Folder::make(scratch)?, next: 0, done: Vec::new() })
    }

    /// Begins a run.
    pub(crate) fn writer(&mut self) -> io::Result<Writer> {
        has_room(&self.scratch, 0)?;
        let run = Run { number: self.next, lines: 0 };
        self.next += 1;
        let file = File::create(self.folder.file(run.number))?;
        Ok(Writer { run, out: BufWriter::with_capacity(BUFFER_BYTES, file) })
    }

    /// The run is whole.
    pub(crate) fn end(&mut self, writer: Writer) -> io::Result<()> {
        writer.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.done.push(writer.run);
        if self.done.len() < RUNS_MAX {
            return Ok(());
        }
        let many = std::mem::take(&mut self.done);
        let mut one = self.writer()?;
        merge_of(self.readers(&many)?, |line| one.add(&[line]))?;
        for run in many {
            std::fs::remove_file(self.folder.file(run.number))?;
        }
        self.end(one)
    }

    fn readers(&self, runs: &[Run]) -> io::Result<Vec<Reader>> {
        let reader = |run: &Run| {
            let file = File::open(self.folder.file(run.number))?;
            Ok(Reader { file: BufReader::with_capacity(BUFFER_BYTES, file), left: run.lines, first: None })
        };
        runs.iter().map(reader).collect()
    }
}

/// All hours in order, each once with all that is said of it.
pub(crate) fn merge(all: &[&Runs], each: impl FnMut(Line) -> io::Result<()>) -> io::Result<()> {
    let mut readers = Vec::new();
    for runs in all {
        readers.extend(runs.readers(&runs.done)?);
    }
    merge_of(readers, each)
}

/// A run that is being read.
struct Reader {
    file: BufReader<File>,
    left: u64,
    first: Option<Line>,
}

impl Reader {
    /// The next one's hour.
    fn advance(&mut self) -> io::Result<Option<BilledHour>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let line = Line::read(&mut self.file)?;
        self.first = Some(line);
        Ok(Some(line.hour))
    }
}

fn merge_of(mut readers: Vec<Reader>, mut each: impl FnMut(Line) -> io::Result<()>) -> io::Result<()> {
    let mut heads = BinaryHeap::with_capacity(readers.len());
    for (place, reader) in readers.iter_mut().enumerate() {
        heads.extend(reader.advance()?.map(|hour| Reverse((hour, place))));
    }
    let mut current: Option<Line> = None;
    while let Some(Reverse((_, place))) = heads.pop() {
        let Some(reader) = readers.get_mut(place) else { continue };
        let Some(line) = reader.first.take() else { continue };
        match &mut current {
            Some(sum) if sum.hour == line.hour => sum.sums.add(&line.sums),
            _ => {
                if let Some(whole) = current.replace(line) {
                    each(whole)?;
                }
            }
        }
        heads.extend(reader.advance()?.map(|hour| Reverse((hour, place))));
    }
    current.map_or(Ok(()), each)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn runs_come_together_in_order_however_many_there_are() {
        let scratch = std::env::temp_dir().join(format!("weir-runs-{}", uuid::Uuid::now_v7().simple()));
        let mut runs = Runs::begin(&scratch).unwrap();
        let mut expected: BTreeMap<BilledHour, i64> = BTreeMap::new();
        for number in 0_i64..150 {
            let mut lines = Vec::new();
            for place in (number % 7)..40 {
                let of = HourOf {
                    hour: Micros(place / 4 * Micros::HOUR),
                    tenant: TenantId(place % 4),
                    project: ProjectId(1),
                };
                let hour = BilledHour { of, period: Micros(0) };
                let sums =
                    Sums { rows: number, judged: Counts { dead: 1, ..Counts::default() }, ..Sums::default() };
                *expected.entry(hour).or_default() += number;
                lines.push(Line { hour, sums });
            }
            lines.sort_unstable_by_key(|line| line.hour);
            let mut writer = runs.writer().unwrap();
            writer.add(&lines).unwrap();
            runs.end(writer).unwrap();
        }
        assert!(runs.done.len() < RUNS_MAX);
        let mut merged = Vec::new();
        let mut dead = 0;
        merge(&[&runs], |line| {
            dead += line.sums.judged.dead;
            merged.push((line.hour, line.sums.rows));
            Ok(())
        })
        .unwrap();
        assert_eq!(merged, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(dead, (0..150).map(|number| 40 - number % 7).sum::<i64>());
        drop(runs);
        std::fs::remove_dir(&scratch).unwrap();
    }
}
