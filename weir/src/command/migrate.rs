//! `weir migrate`.

use std::process::ExitCode;

use anyhow::Context;
use service::{migrate as schema, postgres};

use super::output::tell;
use crate::config;
use crate::life::stores;

/// `weir migrate`.
pub(crate) async fn migrate() -> anyhow::Result<ExitCode> {
    let config = config::stores()?;
    let pool = postgres::pool(&config.database_url, config.database_connections_max)
        .context("DATABASE_URL can't be read")?;
    schema::postgres(&pool).await.context("Postgres could not be brought up to date")?;
    schema::clickhouse(&config.clickhouse).await.context("ClickHouse could not be brought up to date")?;
    stores::make_topic(&config).await?;
    tell("the databases are up to date")?;
    Ok(ExitCode::SUCCESS)
}
