use accounts::AccountError;
use axum::Json;
use axum::extract::{Path, State};
use metering::usage::{TenantUsage, of_tenant};
use schemas::time::Micros;

use crate::api::Api;
use crate::reply::Answer;

pub(super) async fn show(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<TenantUsage> {
    let id = api.tenant_id(&tenant).await?;
    let usage = of_tenant(&mut *api.pool.acquire().await?, id, Micros(api.clock.now_micros())).await?;
    Ok(Json(usage.ok_or_else(|| AccountError::NotFound(format!("tenant {id}")))?))
}
