//! A transaction, and what its commit has to write for the audit.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::caller::Caller;
use crate::db::chain::{self, Chain, Note};

/// What `weir.tenant` says where rows of all tenants are seen, and `weir.projects` where those of all projects are.
pub(crate) const ALL: &str = "all";

/// A transaction, who works in it, and what was noted for the audit.
pub(crate) struct Work {
    pub(crate) tx: Transaction<'static, Postgres>,
    pub(crate) caller: Caller,
    pub(crate) now: DateTime<Utc>,
    pub(crate) notes: Vec<(Chain, Note)>,
}

impl Work {
    /// Writes what was noted, and makes all of it so.
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        if !self.notes.is_empty() {
            if self.notes.iter().any(|(chain, _)| matches!(chain, Chain::Platform(_))) {
                // A scope that was narrowed may hold notes for the platform.
                see(&mut self.tx, ALL, ALL).await?;
            }
            chain::append(&mut self.tx, &self.caller, self.now, self.notes).await?;
        }
        self.tx.commit().await
    }
}

/// Which tenants' and projects' rows are seen, until the transaction's end: a pooled connection carries nothing over.
pub(crate) async fn see(
    connection: &mut PgConnection,
    tenants: &str,
    projects: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT set_config('weir.tenant', $1, true), set_config('weir.projects', $2, true)")
        .bind(tenants)
        .bind(projects)
        .execute(connection)
        .await?;
    Ok(())
}
