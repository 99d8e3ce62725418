//! The usage ledger: counters per tenant, project, meter, period and hour, written only in the transaction that
//! moves the processor's cursor.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use chrono::{DateTime, Utc};
use schemas::id::{ProjectId, TenantId};
use schemas::outcome::{METER_EVENTS, Outcome};
use schemas::time::Micros;
use sqlx::PgConnection;

use crate::lease::timestamp;

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
        let column = |of: fn(&Account) -> i64| self.0.keys().map(of).collect::<Vec<i64>>();
        let instants = |of: fn(&Account) -> Micros| {
            self.0.keys().map(|account| timestamp(of(account))).collect::<Vec<DateTime<Utc>>>()
        };
        let counts = |of: fn(&Counts) -> i64| self.0.values().map(of).collect::<Vec<i64>>();
        // In the map's order, so that processors that share tenants lock rows in one order.
        sqlx::query(
            "INSERT INTO usage_hour AS u (meter, tenant_id, project_id, period_start, hour, stored, duplicate, dead)
             SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::timestamptz[],
                                      $6::bigint[], $7::bigint[], $8::bigint[])
             ON CONFLICT (tenant_id, project_id, meter, period_start, hour) DO UPDATE
             SET stored = u.stored + excluded.stored, duplicate = u.duplicate + excluded.duplicate,
                 dead = u.dead + excluded.dead",
        )
        .bind(METER_EVENTS)
        .bind(column(|account| account.tenant.0))
        .bind(column(|account| account.project.0))
        .bind(instants(|account| account.period_start))
        .bind(instants(|account| account.hour))
        .bind(counts(|counts| counts.stored))
        .bind(counts(|counts| counts.duplicate))
        .bind(counts(|counts| counts.dead))
        .execute(tx)
        .await?;
        Ok(())
    }
}

/// Takes back `events` that were counted as dead: they are counted anew as what they are, in the same transaction.
///
/// # Errors
/// If Postgres fails, or so many have not been counted there ([`sqlx::Error::RowNotFound`]); nothing must be
/// committed then.
pub async fn take_dead(tx: &mut PgConnection, account: Account, events: i64) -> Result<(), sqlx::Error> {
    let changed = sqlx::query(
        "UPDATE usage_hour SET dead = dead - $6
         WHERE (meter, tenant_id, project_id, period_start, hour) = ($1, $2, $3, $4, $5) AND dead >= $6",
    )
    .bind(METER_EVENTS)
    .bind(account.tenant.0)
    .bind(account.project.0)
    .bind(timestamp(account.period_start))
    .bind(timestamp(account.hour))
    .bind(events)
    .execute(tx)
    .await?;
    if changed.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}
