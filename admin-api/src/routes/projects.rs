use accounts::Page;
use accounts::project::{self, NewProject, Project};
use axum::Json;

use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, created};

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
