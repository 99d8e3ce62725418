//! What the log comes to by hour: sums of a few hundred thousand hours in memory, the others in sorted runs on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use metering::ledger::Counts;
use schemas::id::{ProjectId, TenantId};
use schemas::time::Micros;

use crate::books::{BilledHour, HourOf, UNKNOWN};
use crate::runs::{Line, Runs, Sums};

/// Sums in memory: 64 MiB.
const SUMS_MAX: usize = 1 << 20;

/// Who pays, in which period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Payer {
    pub(super) tenant: TenantId,
    pub(super) project: ProjectId,
    pub(super) period: Micros,
}

/// Sums by hour.
#[derive(Debug)]
pub(super) struct ByLog {
    runs: Runs,
    payers: Vec<Payer>,
    places: HashMap<Payer, u32>,
    /// By the payer's place, and hour.
    sums: HashMap<(u32, Micros), Counts>,
    /// A letter's period is not kept.
    dead: BTreeMap<HourOf, i64>,
    /// Dead without a tenant: of records of which not even the envelope can be read.
    pub(super) unattributed: i64,
    /// Events whose hash is not of their project and id.
    pub(super) misnamed: i64,
    /// Of which only is known how many were accepted: with an event that only its row could have judged, while rows
    /// were taken out; or with a letter whose events a version before stored where it stands.
    pub(super) undecided: BTreeSet<HourOf>,
}

impl ByLog {
    /// Nothing yet.
    pub(super) fn begin(runs: Runs) -> Self {
        Self {
            runs,
            payers: Vec::new(),
            places: HashMap::new(),
            sums: HashMap::new(),
            dead: BTreeMap::new(),
            unattributed: 0,
            misnamed: 0,
            undecided: BTreeSet::new(),
        }
    }

    /// The payer's place.
    pub(super) fn place(&mut self, payer: Payer) -> u32 {
        let next = u32::try_from(self.payers.len()).unwrap_or(u32::MAX - 1);
        *self.places.entry(payer).or_insert_with(|| {
            self.payers.push(payer);
            next
        })
    }

    pub(super) fn hour(&self, place: u32, hour: Micros) -> Option<BilledHour> {
        let Payer { tenant, project, period } = *self.payers.get(place as usize)?;
        Some(BilledHour { of: HourOf { hour, tenant, project }, period })
    }

    pub(super) fn add(&mut self, place: u32, hour: Micros, counts: Counts) -> io::Result<()> {
        *self.sums.entry((place, hour)).or_default() += counts;
        if self.sums.len() < SUMS_MAX {
            return Ok(());
        }
        self.spill()
    }

    pub(super) fn add_dead(&mut self, hour: Option<HourOf>, events: i64) {
        match hour {
            Some(hour) => *self.dead.entry(hour).or_default() += events,
            None => self.unattributed += events,
        }
    }

    fn spill(&mut self) -> io::Result<()> {
        let sums = std::mem::take(&mut self.sums);
        let line = |((place, hour), judged): ((u32, Micros), Counts)| {
            Some(Line { hour: self.hour(place, hour)?, sums: Sums { judged, ..Sums::default() } })
        };
        let lines = sums.into_iter().filter_map(line).collect();
        self.write(lines)
    }

    fn write(&mut self, mut lines: Vec<Line>) -> io::Result<()> {
        lines.sort_unstable_by_key(|line| line.hour);
        let mut writer = self.runs.writer()?;
        writer.add(&lines)?;
        self.runs.end(writer)
    }

    /// All is in the runs.
    pub(super) fn finish(mut self) -> io::Result<Runs> {
        self.spill()?;
        let line = |(of, dead): (HourOf, i64)| {
            let judged = Counts { dead, ..Counts::default() };
            Line { hour: BilledHour { of, period: UNKNOWN }, sums: Sums { judged, ..Sums::default() } }
        };
        let dead = std::mem::take(&mut self.dead).into_iter().map(line).collect();
        self.write(dead)?;
        Ok(self.runs)
    }
}
