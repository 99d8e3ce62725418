//! The usage ledger: counters per tenant, project, meter, period and hour, written only in the transaction that
//! moves the processor's cursor.

use std::collections::BTreeMap;
use std::ops::AddAssign;

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

/// What a batch adds to usage.
#[derive(Debug, Default)]
pub struct Usage(BTreeMap<Account, Counts>);

impl Usage {
    /// Adds events of an account.
    pub fn add(&mut self, account: Account, counts: Counts) {
        *self.0.entry(account).or_default() += counts;
    }

    /// What is added to each account.
    pub fn iter(&self) -> impl Iterator<Item = (&Account, &Counts)> {
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
        let rows: Vec<Row> = self.0.iter().map(|(account, counts)| account.row(*counts)).collect();
        usage_hour::add(tx, &rows).await
    }
}

impl Account {
    fn row(&self, counts: Counts) -> Row {
        let Self { tenant, project, period_start, hour } = *self;
        let Counts { stored, duplicate, dead } = counts;
        Row { tenant: tenant.0, project: project.0, period_start, hour, stored, duplicate, dead }
    }
}
