use accounts::AccountError;
use axum::Json;
use axum::extract::State;
use metering::usage::{TenantUsage, of_tenant};
use schemas::time::Micros;

use crate::api::Api;
use crate::auth::InTenant;
use crate::reply::Answer;

pub(super) async fn show(
    State(api): State<Api>,
    InTenant { mut scope, .. }: InTenant,
) -> Answer<TenantUsage> {
    let id = scope.tenant();
    let usage = of_tenant(scope.connection(), id, Micros(api.clock.now_micros())).await?;
    Ok(Json(usage.ok_or_else(|| AccountError::NotFound(format!("tenant {id}")))?))
}
