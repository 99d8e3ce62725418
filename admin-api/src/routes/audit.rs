use std::sync::Arc;

use accounts::audit::{self, Entry, Filter, Verified};
use accounts::{Caller, Page, PageRequest, Scope};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use futures_util::stream;
use schemas::id::TenantId;
use serde::Deserialize;
use service::error::Chain;
use service::store::{POSTGRES, StoreError};

use crate::api::Api;
use crate::auth::InTenant;
use crate::exports::Exporting;
use crate::input::Parameters;
use crate::reply::{Answer, Held, Lines};

/// Which page of which entries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    limit: Option<i64>,
    cursor: Option<String>,
    actor: Option<String>,
    action: Option<String>,
    target: Option<String>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

pub(super) async fn list(
    InTenant { mut scope, .. }: InTenant,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Page<Entry>> {
    let Asked { limit, cursor, actor, action, target, from, to } = asked;
    let (page, filter) = (PageRequest::new(limit, cursor)?, Filter { actor, action, target, from, to });
    Ok(Json(audit::list(&mut scope, &filter, &page).await?))
}

pub(super) async fn verify(InTenant { mut scope, .. }: InTenant) -> Answer<Verified> {
    Ok(Json(audit::verify(&mut scope).await?))
}

/// An export under way. Each page is read in a transaction of its own, which has ended before a client gets the page.
struct Export {
    api: Api,
    place: Exporting,
    caller: Caller,
    tenant: TenantId,
    filter: Filter,
    last: i64,
}

/// All entries that are asked for, the oldest first, a line of JSON for each.
pub(super) async fn export(
    State(api): State<Api>,
    InTenant { mut scope, .. }: InTenant,
    Parameters(filter): Parameters<Filter>,
) -> Held<Lines<Entry>> {
    let (tenant, caller) = (scope.tenant(), scope.caller().clone());
    let place = api.exports.begin(tenant)?;
    let last = audit::begin_export(&mut scope, &filter).await?;
    scope.commit().await?;
    let export = Arc::new(Export { api, place, caller, tenant, filter, last });
    let pages = stream::try_unfold((export, 0), |(export, after)| async move {
        let page = Arc::clone(&export).read(after).await.inspect_err(|error| {
            tracing::error!(error = %Chain(error), "an export of the audit broke off");
        })?;
        Ok::<_, StoreError>(page.map(|(lines, after)| (lines, (export, after))))
    });
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\""),
    ];
    Ok((headers, Body::from_stream(pages)).into_response().into())
}

/// Lines, and the number of the last entry; `None`: that was all.
type Read = Option<(Vec<u8>, i64)>;

impl Export {
    /// Reads a page in a task of its own: a client that stops reading in the middle of it holds no connection.
    async fn read(self: Arc<Self>, after: i64) -> Result<Read, StoreError> {
        let page = tokio::spawn(async move { self.page(after).await });
        Ok(page.await.map_err(|error| StoreError::retry(POSTGRES, error))??)
    }

    /// The lines of some entries after `after`.
    async fn page(&self, after: i64) -> Result<Read, sqlx::Error> {
        let Self { api, place, caller, tenant, filter, last } = self;
        let _turn = place.turn().await;
        let mut scope = Scope::open(&api.pool, &api.clock, caller.clone(), *tenant).await?;
        let entries = audit::export_page(&mut scope, filter, after, *last).await?;
        let Some(after) = entries.last().map(|entry| entry.seq) else { return Ok(None) };
        let mut lines = Vec::new();
        for entry in &entries {
            // A struct of texts and numbers always serialises.
            lines.extend(serde_json::to_vec(entry).unwrap_or_default());
            lines.push(b'\n');
        }
        Ok(Some((lines, after)))
    }
}
