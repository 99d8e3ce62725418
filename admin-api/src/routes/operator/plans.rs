use accounts::Page;
use accounts::plan::{self, Plan, PlanLimits};
use axum::Json;
use axum::extract::Path;

use crate::auth::OnPlatform;
use crate::input::{Body, Paging};
use crate::reply::Answer;

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Paging(asked): Paging,
) -> Answer<Page<Plan>> {
    Ok(Json(plan::list(&mut scope, &asked).await?))
}

pub(in crate::routes) async fn show(
    OnPlatform(mut scope): OnPlatform,
    Path(name): Path<String>,
) -> Answer<Plan> {
    Ok(Json(plan::find(&mut scope, &name).await?))
}

pub(in crate::routes) async fn put(
    OnPlatform(mut scope): OnPlatform,
    Path(name): Path<String>,
    Body(limits): Body<PlanLimits>,
) -> Answer<Plan> {
    let plan = plan::put(&mut scope, &name, &limits).await?;
    scope.commit().await?;
    Ok(Json(plan))
}
