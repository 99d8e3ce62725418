use accounts::verification::{self, Reconciliation, Verification};
use accounts::{AccountError, Page};
use axum::Json;
use axum::extract::{Path, State};

use super::Reason;
use crate::api::Api;
use crate::auth::OnPlatform;
use crate::input::{Body, Paging};
use crate::reply::{Answer, Refused, Status};

/// A processor carries it out.
type Asked = Result<Status<202, Verification>, Refused>;

pub(in crate::routes) async fn show(OnPlatform(mut scope): OnPlatform) -> Answer<Reconciliation> {
    Ok(Json(verification::reconciliation(&mut scope).await?))
}

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Paging(asked): Paging,
) -> Answer<Page<Verification>> {
    Ok(Json(verification::list(&mut scope, &asked).await?))
}

pub(in crate::routes) async fn find(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
) -> Answer<Verification> {
    let parsed = id.parse().map_err(|_| AccountError::NotFound(format!("verification {id}")))?;
    Ok(Json(verification::find(&mut scope, parsed).await?))
}

pub(in crate::routes) async fn verify(State(api): State<Api>, OnPlatform(mut scope): OnPlatform) -> Asked {
    let asked = verification::ask(&mut scope, &api.random, None).await?;
    scope.commit().await?;
    Ok(Status(asked))
}

pub(in crate::routes) async fn repair(
    State(api): State<Api>,
    OnPlatform(mut scope): OnPlatform,
    Body(Reason { reason }): Body<Reason>,
) -> Asked {
    let asked = verification::ask(&mut scope, &api.random, Some(&reason)).await?;
    scope.commit().await?;
    Ok(Status(asked))
}
