use accounts::outbox::{self, SeenMail};
use accounts::{AccountError, Page, PageRequest, queue};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::auth::OnPlatform;
use crate::input::Parameters;
use crate::reply::{Answer, Refused};

/// Which mails, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Asked {
    /// To this address.
    recipient: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Parameters(Asked { recipient, limit, cursor }): Parameters<Asked>,
) -> Answer<Page<SeenMail>> {
    let page = PageRequest::new(limit, cursor)?;
    Ok(Json(outbox::list(scope.connection(), recipient.as_deref(), &page).await?))
}

pub(in crate::routes) async fn retry(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    let mail = id.parse().map_err(|_| AccountError::NotFound(format!("mail {id}")))?;
    queue::retry_mail(&mut scope, mail).await?;
    scope.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
