//! What commands have in common: the database, and how they print.

use std::io::Write;
use std::process::ExitCode;

use accounts::{Caller, PlatformScope, Scope, tenant};
use chrono::{DateTime, Utc};
use serde::Serialize;
use service::clock::Clock;
use service::postgres::Role;
use sqlx::PgPool;

use crate::config;

/// Connections as the database role whose work a command does.
pub(crate) fn pool(role: Role) -> anyhow::Result<PgPool> {
    config::stores()?.database.pool(role)
}

/// A scope of all tenants, for the operator who runs the command.
pub(crate) async fn platform(pool: &PgPool) -> anyhow::Result<PlatformScope> {
    Ok(PlatformScope::open_platform(pool, &Clock::system(), Caller::COMMAND_LINE).await?)
}

/// A scope of the tenant with that name or id.
pub(crate) async fn find(pool: &PgPool, name_or_id: &str) -> anyhow::Result<Scope> {
    Ok(tenant::enter(platform(pool).await?, name_or_id).await?)
}

/// Prints `made` as JSON, or as the line that `text` makes of it.
pub(crate) fn print<T: Serialize>(
    json: bool,
    made: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<ExitCode> {
    let text = if json { serde_json::to_string(made)? } else { text(made).trim_end().to_owned() };
    say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a text and a line's end. A reader that has seen enough (`weir key list | head -1`) is no error.
pub(crate) fn say(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

pub(crate) fn lines<T>(line: impl Fn(&T) -> String) -> impl FnOnce(&Vec<T>) -> String {
    move |all| all.iter().map(|one| line(one) + "\n").collect()
}

/// A limit, or the word for none.
pub(crate) fn or_none(limit: Option<i64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(Clock::system().now_micros()).unwrap_or_default()
}
