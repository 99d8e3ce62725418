//! Events, seals and packs that tests begin with.

use evidence::{Body, Contents, Hash, Header, Leaf, Seal, SigningKey, Tree, Writer};
use schemas::content::ContentHash;
use schemas::id::{EventHash, Position, ProjectId, TenantId};

pub(crate) const TENANT: TenantId = TenantId(7);
/// 2026-11-30 22:00 UTC, in seconds; the next period begins at midnight.
pub(crate) const HOUR: i64 = 1_796_076_000;
pub(crate) const PERIOD: i64 = 1_793_487_600;

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

/// What a row says, as far as a verifier reads it.
#[derive(Clone)]
pub(crate) struct Said {
    pub(crate) tenant: i64,
    pub(crate) project: i64,
    pub(crate) id: String,
    pub(crate) hash: Option<u128>,
    pub(crate) received_at: i64,
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    pub(crate) period: i64,
}

impl Said {
    /// Event `n` of the hour, in partition 0 or 1.
    pub(crate) fn nth(n: u64, hour: i64, period: i64) -> Self {
        let number = i64::try_from(n).unwrap();
        Self {
            tenant: TENANT.0,
            project: 1 + number % 2,
            id: format!("event-{n}{}", "-long".repeat(usize::try_from(n % 24).unwrap())),
            hash: None,
            received_at: hour * 1_000_000 + number * 1_000,
            partition: u32::try_from(n % 2).unwrap(),
            offset: n / 2,
            period,
        }
    }

    /// `RowBinary`, as the processor writes it.
    pub(crate) fn row(&self) -> Vec<u8> {
        let mut row = Vec::new();
        row.extend(self.tenant.to_le_bytes());
        row.extend(self.project.to_le_bytes());
        text(&mut row, &self.id);
        row.extend(self.event().0.to_le_bytes());
        ["track", "Signed up", "user", ""].iter().for_each(|said| text(&mut row, said));
        row.extend(self.received_at.to_le_bytes());
        row.extend(self.received_at.to_le_bytes());
        let properties = format!(r#"{{"note":"{}"}}"#, "x".repeat(130));
        [properties.as_str(), "", ""].iter().for_each(|said| text(&mut row, said));
        row.extend([0; 16]);
        text(&mut row, "agent");
        row.extend([1; 25]);
        row.extend(self.partition.to_le_bytes());
        row.extend(Position::new(self.offset, 3).number().to_le_bytes());
        row.extend([0; 40]);
        row.extend(self.period.to_le_bytes());
        row
    }

    fn event(&self) -> EventHash {
        self.hash.map_or_else(|| EventHash::of(ProjectId(self.project), &self.id), EventHash)
    }

    pub(crate) fn event_in(&self, contents: Contents) -> Event {
        let row = self.row();
        let (contents, row) = match contents {
            Contents::Rows => (ContentHash::of(&row), With::Row(row)),
            Contents::Hashes => (ContentHash::of(&row), With::Nothing),
        };
        Event {
            leaf: Leaf { project: ProjectId(self.project), event: self.event(), contents, quantity: 1 },
            row,
        }
    }
}

fn text(row: &mut Vec<u8>, said: &str) {
    let mut length = said.len();
    while length >= 0x80 {
        row.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    row.push(u8::try_from(length).unwrap());
    row.extend(said.as_bytes());
}

#[derive(Clone)]
pub(crate) enum With {
    Nothing,
    Row(Vec<u8>),
    Erased,
}

/// An event, as a pack has it.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) leaf: Leaf,
    pub(crate) row: With,
}

/// A tenant's seals with their events.
pub(crate) struct Hours {
    pub(crate) key: SigningKey,
    pub(crate) seals: Vec<(Seal, Vec<Event>)>,
}

impl Hours {
    pub(crate) fn new(seed: u8) -> Self {
        Self { key: key(seed), seals: Vec::new() }
    }

    /// Seals an hour of these events, in whichever order they are.
    pub(crate) fn seal(&mut self, hour: i64, period: i64, mut events: Vec<Event>, offsets: &[u64]) {
        events.sort_by_key(|event| event.leaf.place());
        let mut tree = Tree::new();
        events.iter().for_each(|event| tree.push(&event.leaf).unwrap());
        let previous = self.seals.last().map_or(Hash::NONE, |(seal, _)| seal.hash());
        let number = u64::try_from(self.seals.len()).unwrap() + 1;
        let (root, offsets) = (tree.finish().unwrap(), offsets.to_vec());
        let seal = Seal { tenant: TENANT, number, hour, period, root, offsets, previous };
        self.seals.push((seal, events));
    }

    pub(crate) fn head(&self) -> Hash {
        self.seals.last().unwrap().0.hash()
    }

    pub(crate) fn header(&self, contents: Contents, from: i64, to: i64) -> Header {
        Header { tenant: TENANT, from, to, contents, keys: vec![self.key.public()] }
    }

    /// A pack of all seals, with the events of those within.
    pub(crate) fn pack(&self, header: &Header) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), header.clone()).unwrap();
        for (seal, events) in &self.seals {
            writer.seal(&self.key.sign(seal.clone())).unwrap();
            let is_within = (header.from..header.to).contains(&seal.hour);
            for event in events.iter().filter(|_| is_within) {
                let body = match &event.row {
                    With::Nothing => Body::None,
                    With::Row(row) => Body::Row(row),
                    With::Erased => Body::Erased,
                };
                writer.leaf(&event.leaf, body).unwrap();
            }
        }
        writer.finish().unwrap()
    }
}

/// Four seals: an hour, one of the next period, events that came late for the first, and an hour outside of the pack.
/// One event was erased, and one has no content hash.
pub(crate) fn sample(contents: Contents) -> (Hours, Header) {
    let mut hours = Hours::new(1);
    let next = HOUR + 3_600;
    let event = |n: u64, hour, period| Said::nth(n, hour, period).event_in(contents);
    let mut first: Vec<Event> = (0..5).map(|n| event(n, HOUR, PERIOD)).collect();
    if contents == Contents::Rows {
        first[1].row = With::Erased;
        first[2].row = With::Nothing;
        first[2].leaf.contents = ContentHash::NONE;
    }
    hours.seal(HOUR, PERIOD, first, &[3, 2]);
    hours.seal(next, next, (5..8).map(|n| event(n, next, next)).collect(), &[4, 4]);
    hours.seal(HOUR, PERIOD, (8..10).map(|n| event(n, HOUR, PERIOD)).collect(), &[5, 5]);
    hours.seal(next + 3_600, next, (10..14).map(|n| event(n, next + 3_600, next)).collect(), &[7, 7]);
    let header = hours.header(contents, HOUR, next + 3_600);
    (hours, header)
}
