use accounts::{AccountError, Page, PageRequest, queue};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use jobs::{JobState, SeenJob};
use schemas::public_id::JobId;
use serde::Deserialize;

use crate::auth::OnPlatform;
use crate::input::Parameters;
use crate::reply::{Answer, Refused};

/// Which jobs, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Asked {
    /// What they do, as in `mail.send`.
    kind: Option<String>,
    /// How far they are.
    state: Option<JobState>,
    limit: Option<i64>,
    cursor: Option<String>,
}

fn parsed(id: &str) -> Result<JobId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("job {id}")))
}

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Parameters(Asked { kind, state, limit, cursor }): Parameters<Asked>,
) -> Answer<Page<SeenJob>> {
    let page = PageRequest::new(limit, cursor)?;
    Ok(Json(queue::list(&mut scope, kind.as_deref(), state, &page).await?))
}

pub(in crate::routes) async fn show(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
) -> Answer<SeenJob> {
    Ok(Json(queue::show(&mut scope, parsed(&id)?).await?))
}

pub(in crate::routes) async fn retry(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
) -> Answer<SeenJob> {
    let job = queue::retry(&mut scope, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(Json(job))
}

pub(in crate::routes) async fn discard(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    queue::discard(&mut scope, parsed(&id)?).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
