use accounts::audit::{self, Entry, Verified};
use axum::Json;
use serde::{Deserialize, Serialize};

use crate::auth::InTenant;
use crate::reply::{Answer, Parameters, Refused};
use crate::text::limit;

/// Which page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    limit: Option<i64>,
    cursor: Option<i64>,
}

/// A page, the newest entries first.
#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<Entry>,
    next_cursor: Option<i64>,
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Page> {
    let limit = limit(asked.limit).map_err(Refused::invalid)?;
    let items = audit::list(&mut scope, asked.cursor, limit).await?;
    // Numbers have no gap: the first entry is the last of the last page.
    let next_cursor = items.last().map(|entry| entry.seq).filter(|seq| *seq > 1);
    Ok(Json(Page { items, next_cursor }))
}

pub(super) async fn verify(InTenant { mut scope, .. }: InTenant) -> Answer<Verified> {
    Ok(Json(audit::verify(&mut scope).await?))
}
