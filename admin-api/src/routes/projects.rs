use accounts::project::{self, NewProject, Project, ProjectChange};
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use schemas::public_id::PublicProjectId;

use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, Refused, created};

fn parsed(id: &str) -> Result<PublicProjectId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("project {id}")))
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Paging(asked): Paging,
) -> Answer<Page<Project>> {
    Ok(Json(project::list(&mut scope, &asked).await?))
}

pub(super) async fn create(
    InTenant { mut scope, .. }: InTenant,
    Body(new): Body<NewProject>,
) -> Created<Project> {
    let project = project::create(&mut scope, &new.name).await?;
    scope.commit().await?;
    created(project)
}

pub(super) async fn show(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<Project> {
    Ok(Json(project::show(&mut scope, parsed(&id)?).await?))
}

pub(super) async fn change(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
    Body(change): Body<ProjectChange>,
) -> Answer<Project> {
    let project = project::change(&mut scope, parsed(&id)?, &change).await?;
    scope.commit().await?;
    Ok(Json(project))
}

pub(super) async fn delete(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    project::delete(&mut scope, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
