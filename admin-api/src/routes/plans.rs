use accounts::plan::{self, Plan, PlanLimits};
use axum::Json;
use axum::extract::{Path, State};

use crate::api::Api;
use crate::reply::{Answer, Body};

pub(super) async fn list(State(api): State<Api>) -> Answer<Vec<Plan>> {
    Ok(Json(plan::list(&mut api.platform().await?).await?))
}

pub(super) async fn put(
    State(api): State<Api>,
    Path(name): Path<String>,
    Body(limits): Body<PlanLimits>,
) -> Answer<Plan> {
    let mut scope = api.platform().await?;
    let plan = plan::put(&mut scope, &name, &limits).await?;
    scope.commit().await?;
    Ok(Json(plan))
}
