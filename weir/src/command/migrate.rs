//! `weir migrate`.

use std::process::ExitCode;

use anyhow::Context;
use service::migrate as schema;

use super::output::say;
use crate::config;
use crate::life::stores;

/// `weir migrate`.
pub(crate) async fn migrate() -> anyhow::Result<ExitCode> {
    let config = config::stores()?;
    let pool = config.database.login_pool()?;
    schema::postgres(&pool).await.context("Postgres could not be brought up to date")?;
    schema::clickhouse(&config.clickhouse).await.context("ClickHouse could not be brought up to date")?;
    stores::make_topic(&config).await?;
    say("the databases are up to date")?;
    Ok(ExitCode::SUCCESS)
}
