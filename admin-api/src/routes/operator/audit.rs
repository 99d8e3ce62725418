use accounts::audit::{self, Filter, PlatformEntry};
use accounts::{Page, PageRequest};
use axum::Json;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::auth::OnPlatform;
use crate::input::Parameters;
use crate::reply::Answer;

/// Which page of which entries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Asked {
    limit: Option<i64>,
    cursor: Option<String>,
    /// A tenant's public id, name or number.
    tenant: Option<String>,
    /// Who: a public id, `operator` or `system`.
    actor: Option<String>,
    /// What was done, as in `key.create`; `key.*`: whatever was done to keys.
    action: Option<String>,
    /// To what.
    target: Option<String>,
    /// Not before.
    from: Option<DateTime<Utc>>,
    /// Before.
    to: Option<DateTime<Utc>>,
}

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Page<PlatformEntry>> {
    let Asked { limit, cursor, tenant, actor, action, target, from, to } = asked;
    let (page, filter) = (PageRequest::new(limit, cursor)?, Filter { actor, action, target, from, to });
    Ok(Json(audit::of_platform(&mut scope, tenant.as_deref(), &filter, &page).await?))
}
