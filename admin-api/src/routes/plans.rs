use accounts::Page;
use accounts::plan::{self, Plan, PlanLimits};
use axum::Json;
use axum::extract::{Path, State};

use crate::api::Api;
use crate::input::{Body, Paging};
use crate::reply::Answer;

pub(super) async fn list(State(api): State<Api>, Paging(asked): Paging) -> Answer<Page<Plan>> {
    Ok(Json(plan::list(&mut api.platform().await?, &asked).await?))
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
