//! What was accepted: the log's records, and what must become of each event in them.

use std::collections::{BTreeMap, HashMap};

use eventlog::Record;
use metering::ledger::{Account, Counts};
use processor::batch;
use schemas::event::{Event, EventFlags, EventKind};
use schemas::frame::{BundleWriter, Envelope, FrameWriter};
use schemas::id::{EventHash, KeyId, LeaseId, Position, ProjectId, TenantId};
use schemas::outcome::Outcome;
use schemas::time::Micros;
use uuid::Uuid;

use crate::rng::Rng;

/// Five minutes before a month ends: rows of one batch go to two table partitions.
pub(crate) const BEGIN: Micros = Micros(1_793_490_900_000_000);

/// The log as it will be, and the truth about it.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// By partition.
    pub(crate) records: Vec<Vec<Record>>,
    pub(crate) events: BTreeMap<(u32, Position), Sent>,
    /// Where a dead letter must stand, and for how many events.
    pub(crate) dead: BTreeMap<(u32, Position), u16>,
    pub(crate) usage: BTreeMap<Account, Counts>,
}

/// An event that can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) project: ProjectId,
    pub(crate) hash: EventHash,
    pub(crate) received_at: Micros,
    /// The first of its id: to be stored, and metered.
    pub(crate) is_first: bool,
}

impl Sent {
    /// Which of the two table partitions its row goes to.
    pub(crate) fn month(&self) -> u8 {
        u8::from(self.received_at.0 >= BEGIN.0 + 300_000_000)
    }
}

impl Journal {
    /// Requests of clients that retry often, and some bytes that are nothing.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let partitions = rng.range(1, 4) as u32;
        let requests = rng.range(10, 60);
        let mut journal = Self { records: vec![Vec::new(); partitions as usize], ..Self::default() };
        let mut ids: Vec<(ProjectId, String)> = Vec::new();
        for request in 0..requests {
            let received_at = Micros(BEGIN.0 + (request * 600_000_000 / requests) as i64);
            let project = ProjectId(rng.range(1, 2) as i64);
            let mut frames: BTreeMap<u32, Vec<String>> = BTreeMap::new();
            for number in 0..rng.range(1, 5) {
                let again = !ids.is_empty() && rng.permille(300);
                let (_, id) = if again {
                    ids[rng.index(ids.len())].clone()
                } else {
                    (project, format!("{request}-{number}"))
                };
                let events = frames.entry(EventHash::of(project, &id).partition(partitions)).or_default();
                if !events.contains(&id) {
                    events.push(id.clone());
                    ids.push((project, id));
                }
            }
            for (partition, ids) in frames {
                journal.append(rng, partition, project, received_at, &ids);
            }
        }
        journal.find_truth();
        journal
    }

    fn append(
        &mut self,
        rng: &mut Rng,
        partition: u32,
        project: ProjectId,
        received_at: Micros,
        ids: &[String],
    ) {
        let whole = frame(project, received_at, ids);
        let payload = match rng.below(20) {
            0 => b"no frame".to_vec(),
            1 => whole[..whole.len() - 1].to_vec(),
            2 | 3 => {
                let mut bundle = BundleWriter::default();
                bundle.push(&whole);
                if rng.permille(500) {
                    bundle.push(b"nor this");
                }
                // The same request once more: a client did not wait.
                bundle.push(&whole);
                bundle.record().to_vec()
            }
            _ => whole,
        };
        let records = &mut self.records[partition as usize];
        let offset = records.len() as u64;
        records.push(Record {
            partition,
            offset,
            timestamp_ms: received_at.0 / 1_000,
            payload: payload.into(),
        });
    }

    /// Finds what must become of each event, in the simplest way there is.
    fn find_truth(&mut self) {
        let mut first: HashMap<(ProjectId, EventHash), Position> = HashMap::new();
        for records in &self.records {
            let decoded = batch::decode(records);
            for placed in &decoded.events {
                let id = (placed.envelope.project, placed.event.hash);
                let is_first = *first.entry(id).or_insert(placed.position) == placed.position;
                let sent =
                    Sent { project: id.0, hash: id.1, received_at: placed.envelope.received_at, is_first };
                self.events.insert((placed.partition, placed.position), sent);
                let outcome = if is_first { Outcome::Stored } else { Outcome::Duplicate };
                self.usage.entry(account(&placed.envelope)).or_default().add(outcome, 1);
            }
            for letter in &decoded.unreadable {
                self.dead.insert((letter.partition, letter.position), letter.events);
                if let Some(envelope) = &letter.envelope {
                    let counts = self.usage.entry(account(envelope)).or_default();
                    counts.add(Outcome::Dead, i64::from(letter.events));
                }
            }
        }
    }

    pub(crate) fn end(&self, partition: u32) -> u64 {
        self.records[partition as usize].len() as u64
    }
}

fn account(envelope: &Envelope<'_>) -> Account {
    Account {
        tenant: envelope.tenant,
        project: envelope.project,
        period_start: Micros(envelope.period_start * Micros::SECOND),
        hour: envelope.received_at.hour(),
    }
}

fn frame(project: ProjectId, received_at: Micros, ids: &[String]) -> Vec<u8> {
    let envelope = Envelope {
        tenant: TenantId(1),
        project,
        key: KeyId::from_number(1).unwrap(),
        lease: LeaseId::NONE,
        period_start: 0,
        received_at,
        request_id: Uuid::nil(),
        client_ip: None,
        user_agent: "",
    };
    let mut writer = FrameWriter::new(&envelope, 0);
    for id in ids {
        let event = Event {
            hash: EventHash::of(project, id),
            kind: EventKind::Track,
            flags: EventFlags::default(),
            timestamp: Micros(1),
            id,
            name: "e",
            user_id: "",
            anonymous_id: "",
            properties: "",
            context: "",
            extra: "",
        };
        assert_eq!(writer.push(&event), Ok(()));
    }
    writer.finish().to_vec()
}
