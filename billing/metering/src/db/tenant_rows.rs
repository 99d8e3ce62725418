//! Reading one tenant's rows in ClickHouse, which has no row-level security: the one place that says whose rows a
//! query sees, and how much it may cost.

use clickhouse::Client;
use clickhouse::query::Query;
use schemas::id::{ProjectId, TenantId};

/// Seconds that a query may take.
const SECONDS_MAX: u32 = 10;
/// Rows that it may read, and bytes of memory that it may use.
const ROWS_MAX: u64 = 200_000_000;
const MEMORY_BYTES_MAX: u64 = 1_000_000_000;

/// Whose rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TenantRows<'a> {
    pub(crate) tenant: TenantId,
    /// The only projects; `None`: all.
    pub(crate) projects: Option<&'a [ProjectId]>,
}

impl TenantRows<'_> {
    /// `SELECT columns FROM table WHERE` of the tenant and its projects `AND rest`. The text of `rest` names what a
    /// client asked for as parameters, `{name:Type}`, and nothing of that stands in the text itself.
    pub(crate) fn select(
        self,
        client: &Client,
        columns: &'static str,
        table: &'static str,
        rest: &'static str,
    ) -> Query {
        let of = match self.projects {
            None => "tenant_id = {tenant:Int64}",
            Some(_) => "tenant_id = {tenant:Int64} AND has({projects:Array(Int64)}, project_id)",
        };
        let query = client
            .query(&format!("SELECT {columns} FROM {table} WHERE {of} AND {rest}"))
            .param("tenant", self.tenant.0)
            .with_setting("readonly", "2")
            .with_setting("max_execution_time", SECONDS_MAX.to_string())
            .with_setting("max_rows_to_read", ROWS_MAX.to_string())
            .with_setting("max_memory_usage", MEMORY_BYTES_MAX.to_string());
        match self.projects {
            None => query,
            Some(projects) => {
                query.param("projects", projects.iter().map(|project| project.0).collect::<Vec<i64>>())
            }
        }
    }
}
