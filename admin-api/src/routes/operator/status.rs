use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use service::clickhouse;
use service::error::Chain;
use service::store::{CLICKHOUSE, POSTGRES, StoreError, in_time};
use sqlx::Connection;

use crate::api::{Api, Listening};
use crate::reply::Answer;

/// How long a store has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How this process does, and what it needs.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::routes) struct Status {
    /// Of weir.
    version: &'static str,
    checked_at: DateTime<Utc>,
    /// Where this process listens.
    listeners: Listening,
    #[schema(value_type = Vec<StoreStatus>)]
    stores: [StoreStatus; 2],
}

#[derive(Serialize, utoipa::ToSchema)]
struct StoreStatus {
    store: &'static str,
    is_up: bool,
    /// Milliseconds until it answered, or until it was given up.
    #[schema(value_type = u64)]
    took_ms: u128,
    /// Why it is not up.
    problem: Option<String>,
}

/// Nothing here needs a store: what the operator's token lets one ask while Postgres is away.
pub(in crate::routes) async fn show(State(api): State<Api>) -> Answer<Status> {
    let (postgres, clickhouse) = tokio::join!(
        looked_at(POSTGRES, postgres_answers(&api)),
        looked_at(CLICKHOUSE, clickhouse_answers(&api)),
    );
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        checked_at: DateTime::from_timestamp_micros(api.clock.now_micros()).unwrap_or_default(),
        listeners: api.listening,
        stores: [postgres, clickhouse],
    }))
}

async fn postgres_answers(api: &Api) -> Result<(), StoreError> {
    Ok(api.pool.acquire().await?.ping().await?)
}

async fn clickhouse_answers(api: &Api) -> Result<(), StoreError> {
    Ok(clickhouse::answers(&api.clickhouse).await?)
}

async fn looked_at(store: &'static str, answer: impl Future<Output = Result<(), StoreError>>) -> StoreStatus {
    let begun = Instant::now();
    let answered = in_time(store, PATIENCE, answer).await;
    let problem = answered.err().map(|error| Chain(&error).to_string());
    StoreStatus { store, is_up: problem.is_none(), took_ms: begun.elapsed().as_millis(), problem }
}
