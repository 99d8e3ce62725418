use accounts::people::{self, ShownPerson};
use accounts::person::SeenPerson;
use accounts::{Page, PageRequest};
use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::Reason;
use crate::api::Api;
use crate::auth::OnPlatform;
use crate::input::{Body, Parameters};
use crate::reply::Answer;

/// Which page of which people.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Asked {
    /// The beginning of an address, or an id.
    q: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
}

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Parameters(Asked { q, limit, cursor }): Parameters<Asked>,
) -> Answer<Page<SeenPerson>> {
    Ok(Json(people::list(&mut scope, q.as_deref(), &PageRequest::new(limit, cursor)?).await?))
}

pub(in crate::routes) async fn show(
    OnPlatform(mut scope): OnPlatform,
    Path(person): Path<String>,
) -> Answer<ShownPerson> {
    Ok(Json(people::find(&mut scope, &person).await?))
}

pub(in crate::routes) async fn end_sessions(
    OnPlatform(mut scope): OnPlatform,
    Path(person): Path<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<ShownPerson> {
    let shown = people::end_sessions(&mut scope, &person, &reason).await?;
    scope.commit().await?;
    Ok(Json(shown))
}

pub(in crate::routes) async fn remove_second_factor(
    State(api): State<Api>,
    OnPlatform(mut scope): OnPlatform,
    Path(person): Path<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<ShownPerson> {
    let shown = people::remove_second_factor(&mut scope, &person, &reason).await?;
    if let Some(auth) = &api.auth {
        auth.mail_factor_removed(&mut scope, &shown.person).await?;
    }
    scope.commit().await?;
    Ok(Json(shown))
}

pub(in crate::routes) async fn disable(
    OnPlatform(mut scope): OnPlatform,
    Path(person): Path<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<ShownPerson> {
    let shown = people::set_disabled(&mut scope, &person, true, &reason).await?;
    scope.commit().await?;
    Ok(Json(shown))
}

pub(in crate::routes) async fn enable(
    OnPlatform(mut scope): OnPlatform,
    Path(person): Path<String>,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<ShownPerson> {
    let shown = people::set_disabled(&mut scope, &person, false, &reason).await?;
    scope.commit().await?;
    Ok(Json(shown))
}
