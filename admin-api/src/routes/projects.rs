use accounts::project::{self, NewProject, Project};
use axum::Json;

use crate::auth::InTenant;
use crate::reply::{Answer, Body, Created, created};

pub(super) async fn list(InTenant { mut scope, .. }: InTenant) -> Answer<Vec<Project>> {
    Ok(Json(project::list(&mut scope).await?))
}

pub(super) async fn create(
    InTenant { mut scope, .. }: InTenant,
    Body(new): Body<NewProject>,
) -> Created<Project> {
    let project = project::create(&mut scope, &new.name).await?;
    scope.commit().await?;
    created(project)
}
