//! Before anything is processed, billed or leased: the database is bound to the log, or refused.
//!
//! Ingest alone may begin without that, when Postgres is away, on what it saved: its copy of keys and tenants names
//! the log that the database was bound to, and how far the log had reached. It is used only if that is this log, and
//! the log reaches as far. What it appends is processed once the database is bound. If it then turns out that the
//! two do not belong together all the same (the whole data folder was put back to an older state), the process ends.

use std::time::Duration;

use anyhow::Context;
use eventlog::EventLog;
use processor::own::{self, BindError};
use service::error::Chain;

use crate::config::Pools;
use crate::roles::Roles;

/// Postgres's codes for a table, and for a role, that is not there.
const NOT_MIGRATED: [&str; 2] = ["42P01", "22023"];
/// How often to ask for a database that is away.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How an attempt ended.
pub(crate) enum Bound {
    /// The database is this log's.
    Yes,
    /// It did not answer. It may, later.
    Away(BindError),
}

/// Binds the database to the log, or checks that it is; and if no other process can write to the log
/// (`exclusive`), ends what its predecessors left behind.
pub(crate) async fn bind(
    pools: &Pools,
    roles: Roles,
    log: &dyn EventLog,
    exclusive: bool,
) -> anyhow::Result<Bound> {
    let pool = pools.binding(roles);
    let bound = async {
        if log.spool().is_some_and(|spool| !spool.is_connected()) {
            // The task that connects it binds it for good first.
            own::bind_name(pool, log).await?;
        } else {
            own::bind_log(pool, log).await?;
        }
        if exclusive {
            // The log's lock says that its former processors are dead: nobody needs to wait for their leases to run
            // out.
            metering::lease::end_all(&pools.ingest).await?;
            own::end_all(&pools.processor).await?;
        }
        Ok(())
    };
    match bound.await {
        Ok(()) => Ok(Bound::Yes),
        Err(error) if is_away(&error) => Ok(Bound::Away(error)),
        Err(error) => Err(with_advice(error)),
    }
}

/// Asks until the database answers.
pub(crate) async fn bind_when_back(
    pools: &Pools,
    roles: Roles,
    log: &dyn EventLog,
    exclusive: bool,
) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let attempt = bind(pools, roles, log, exclusive).await;
        match attempt.context("Postgres is back, but this process can't go on")? {
            Bound::Yes => return Ok(()),
            Bound::Away(error) => tracing::debug!(error = %Chain(&error), "Postgres is still away"),
        }
    }
}

/// Whether it may help to ask again, without anybody doing anything to weir.
pub(crate) fn is_away(error: &BindError) -> bool {
    match error {
        BindError::Store(error) => error.is_away(),
        BindError::OtherLog { .. } | BindError::LogBehind { .. } => false,
    }
}

/// A database without weir's tables or roles is a likely and simple mistake.
fn with_advice(error: BindError) -> anyhow::Error {
    let not_migrated = match &error {
        BindError::Store(error) => {
            error.postgres_code().is_some_and(|code| NOT_MIGRATED.contains(&code.as_ref()))
        }
        BindError::OtherLog { .. } | BindError::LogBehind { .. } => false,
    };
    let error = anyhow::Error::from(error);
    if not_migrated { error.context("the database is not up to date: run `weir migrate`") } else { error }
}
