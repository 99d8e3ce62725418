use accounts::tenant::{self, Tenant};
use axum::Json;

use crate::auth::InTenant;
use crate::reply::Answer;

pub(super) async fn show(InTenant { mut scope, .. }: InTenant) -> Answer<Tenant> {
    Ok(Json(tenant::show(&mut scope).await?))
}
