use accounts::project::{self, NewProject, Project};
use axum::Json;
use axum::extract::{Path, State};

use crate::api::Api;
use crate::reply::{Answer, Body, Created, created};

pub(super) async fn list(State(api): State<Api>, Path(tenant): Path<String>) -> Answer<Vec<Project>> {
    let id = api.tenant_id(&tenant).await?;
    Ok(Json(project::list(&api.pool, id).await?))
}

pub(super) async fn create(
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Body(new): Body<NewProject>,
) -> Created<Project> {
    let id = api.tenant_id(&tenant).await?;
    created(project::create(&api.pool, id, &new.name).await?)
}
