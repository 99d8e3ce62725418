//! Connections to Postgres.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{PgPool, Row};

use crate::config::Secret;

/// Reads a row into a struct of which each field is named like its column; `status: parsed` reads a text that stands
/// for something, `id: uuid` an id that is a UUID.
///
/// As sqlx's derive does, for which sqlx, rustls and aws-lc's C are compiled a second time.
#[macro_export]
macro_rules! from_row {
    (@field $row:ident $field:ident) => {
        ::sqlx::Row::try_get($row, stringify!($field))
    };
    (@field $row:ident $field:ident parsed) => {
        $crate::postgres::parsed($row, stringify!($field))
    };
    (@field $row:ident $field:ident uuid) => {
        ::sqlx::Row::try_get::<::sqlx::types::Uuid, _>($row, stringify!($field)).map(::core::convert::From::from)
    };
    ($row:ident { $($field:ident $(: $parsed:ident)?),+ $(,)? }) => {
        impl ::sqlx::FromRow<'_, ::sqlx::postgres::PgRow> for $row {
            fn from_row(row: &::sqlx::postgres::PgRow) -> ::sqlx::Result<Self> {
                Ok(Self { $($field: $crate::from_row!(@field row $field $($parsed)?)?),+ })
            }
        }
    };
}

/// A column of text as what it stands for.
///
/// # Errors
/// If there is no such column, or its text stands for nothing.
pub fn parsed<T>(row: &PgRow, column: &'static str) -> Result<T, sqlx::Error>
where
    T: TryFrom<String>,
    T::Error: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.try_get(column)?;
    T::try_from(text)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.into(), source: error.into() })
}

/// A statement that takes longer is ended by the server.
const STATEMENT_TIMEOUT: &str = "10s";
/// A transaction whose client has gone quiet is ended by the server, and its locks with it. Less than a statement may
/// take, so that who waits for these locks gets them before the statement is ended.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "8s";
/// Of a processor less than it keeps its lease without renewing it (two thirds of `WEIR_PROCESSOR_LEASE_MS`): one that
/// was stopped within a transaction holds no lock any more when another takes its partitions.
const PROCESSOR_IDLE_IN_TRANSACTION_TIMEOUT: &str = "5s";
/// How long a caller waits for a free connection, or for Postgres to answer at all.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are closed: each costs the server some megabytes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A role of the database, which may read and write what the migrations grant it and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes events in.
    Ingest,
    /// Stores and meters them.
    Processor,
    /// Settles quotas.
    Billing,
    /// Manages tenants.
    Api,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Processor, Self::Billing, Self::Api];

    /// Its name in Postgres.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "weir_ingest",
            Self::Processor => "weir_processor",
            Self::Billing => "weir_billing",
            Self::Api => "weir_api",
        }
    }
}

/// A pool of at most `connections_max` connections, none of which is opened before it is needed. Each becomes `role`;
/// without one it stays the user that `url` names, as migrations need it.
///
/// # Errors
/// If `url` is not a Postgres URL.
pub fn pool(url: &Secret, connections_max: u32, role: Option<Role>) -> Result<PgPool, sqlx::Error> {
    let idle_in_transaction = match role {
        Some(Role::Processor) => PROCESSOR_IDLE_IN_TRANSACTION_TIMEOUT,
        Some(Role::Ingest | Role::Billing | Role::Api) | None => IDLE_IN_TRANSACTION_TIMEOUT,
    };
    let options = PgConnectOptions::from_str(url.expose())?.application_name("weir").options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("idle_in_transaction_session_timeout", idle_in_transaction),
        ("timezone", "UTC"),
        // It would warn of each `ROLLBACK` that has nothing to roll back.
        ("client_min_messages", "error"),
    ]);
    let options = match role {
        Some(role) => options.options([("role", role.name())]),
        None => options,
    };
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(IDLE_TIMEOUT)
        // A caller that gave up while `BEGIN` was under way leaves a transaction that sqlx does not know of. The next
        // caller's statement would run in it, and be lost with it.
        .after_release(|connection, _| {
            Box::pin(async move {
                // A ROLLBACK without a transaction is a warning in the server's log, thousands of them an hour.
                sqlx::raw_sql("BEGIN; ROLLBACK").execute(connection).await?;
                Ok(true)
            })
        })
        .connect_lazy_with(options))
}
