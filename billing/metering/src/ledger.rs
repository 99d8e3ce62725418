//! The usage ledger: counters per tenant, project, meter, period and hour, written only in the transaction that
//! moves the processor's cursor.

use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};

use schemas::content::ContentHash;
use schemas::frame::Envelope;
use schemas::id::{ProjectId, TenantId};
use schemas::outcome::Outcome;
use schemas::time::Micros;
use sqlx::PgConnection;

use crate::db::usage_hour::{self, Row};

/// Which counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// Who pays.
    pub tenant: TenantId,
    /// For which stream.
    pub project: ProjectId,
    /// Start of the billing period, as ingest stamped it.
    pub period_start: Micros,
    /// Start of the UTC hour of `received_at`.
    pub hour: Micros,
}

/// Events by where they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows in ClickHouse.
    pub stored: i64,
    /// Seen before.
    pub duplicate: i64,
    /// In the dead letters.
    pub dead: i64,
}

impl Counts {
    /// `events` that ended in `outcome`.
    #[must_use]
    pub fn of(outcome: Outcome, events: i64) -> Self {
        let mut counts = Self::default();
        counts.add(outcome, events);
        counts
    }

    /// Adds `events` that ended in `outcome`.
    pub fn add(&mut self, outcome: Outcome, events: i64) {
        match outcome {
            Outcome::Stored => self.stored += events,
            Outcome::Duplicate => self.duplicate += events,
            Outcome::Dead => self.dead += events,
        }
    }

    /// All of them: what ingest accepted.
    #[must_use]
    pub fn accepted(&self) -> i64 {
        self.stored + self.duplicate + self.dead
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.dead += other.dead;
    }
}

/// What is in rows, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// Rows that have a hash of their contents: all but those that a version before wrote.
    pub hashed: i64,
    /// Exclusive or over the low 64 bits of these hashes.
    pub xor: i64,
}

impl Contents {
    /// Adds a row.
    pub fn add(&mut self, row: ContentHash) {
        if row != ContentHash::NONE {
            *self += Self { hashed: 1, xor: row.low_bits() };
        }
    }
}

impl AddAssign for Contents {
    fn add_assign(&mut self, other: Self) {
        self.hashed += other.hashed;
        self.xor ^= other.xor;
    }
}

impl SubAssign for Contents {
    fn sub_assign(&mut self, other: Self) {
        self.hashed -= other.hashed;
        self.xor ^= other.xor;
    }
}

/// What became of events, and which they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Counts by outcome.
    pub counts: Counts,
    /// Exclusive or over the low 64 bits of the stored events' hashes.
    pub xor_hash: i64,
    /// The contents of their rows.
    pub contents: Contents,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.xor_hash ^= other.xor_hash;
        self.contents += other.contents;
    }
}

/// What a batch adds to usage.
#[derive(Debug, Default)]
pub struct Usage(BTreeMap<Account, Sum>);

impl Usage {
    /// Adds events of an account.
    pub fn add(&mut self, account: Account, sum: Sum) {
        *self.0.entry(account).or_default() += sum;
    }

    /// What is added to each account.
    pub fn iter(&self) -> impl Iterator<Item = (&Account, &Sum)> {
        self.0.iter()
    }

    /// Writes it, in the transaction that moves the cursor.
    ///
    /// # Errors
    /// If Postgres fails; nothing must be committed then.
    pub async fn apply(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row> = self.0.iter().map(|(account, sum)| account.row(*sum)).collect();
        usage_hour::add(tx, &rows).await
    }
}

impl Account {
    /// That of the events of a request.
    #[must_use]
    pub fn of(envelope: &Envelope<'_>) -> Self {
        let period_start = Micros(envelope.period_start.saturating_mul(Micros::SECOND));
        let (tenant, project, hour) = (envelope.tenant, envelope.project, envelope.received_at.hour());
        Self { tenant, project, period_start, hour }
    }

    fn row(&self, sum: Sum) -> Row {
        let Self { tenant, project, period_start, hour } = *self;
        let Sum { counts: Counts { stored, duplicate, dead }, xor_hash, contents } = sum;
        let Contents { hashed, xor: xor_contents } = contents;
        let (tenant, project) = (tenant.0, project.0);
        Row { tenant, project, period_start, hour, stored, duplicate, dead, xor_hash, hashed, xor_contents }
    }
}
