use accounts::erasure::{self, Erasure, NewErasure};
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::Path;

use crate::auth::InTenant;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Created, created};

pub(super) async fn create(
    InTenant { mut scope, .. }: InTenant,
    Body(new): Body<NewErasure>,
) -> Created<Erasure> {
    let erasure = erasure::create(&mut scope, &new).await?;
    scope.commit().await?;
    created(erasure)
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Paging(asked): Paging,
) -> Answer<Page<Erasure>> {
    Ok(Json(erasure::list(&mut scope, &asked).await?))
}

pub(super) async fn show(
    InTenant { mut scope, .. }: InTenant,
    Path((_, id)): Path<(String, String)>,
) -> Answer<Erasure> {
    let erasure = id.parse().map_err(|_| AccountError::NotFound(format!("erasure {id}")))?;
    Ok(Json(erasure::find(&mut scope, erasure).await?))
}
