use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use accounts::audit::{self, Entry, Filter, Verified};
use accounts::{Page, PageRequest};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use futures_util::stream;
use schemas::id::TenantId;
use serde::Deserialize;
use service::error::Chain;
use service::store::{POSTGRES, StoreError};

use crate::api::Api;
use crate::auth::{Again, InTenant};
use crate::exports::Exporting;
use crate::input::Parameters;
use crate::reply::{Answer, Held, Lines};
use crate::request::{self, Asker};

/// Which page of which entries.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    limit: Option<i64>,
    cursor: Option<String>,
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

/// An export under way. Each page is read in a transaction of its own, which has ended before a client gets the page,
/// and for which it is asked again who the caller is and what that may do.
struct Export {
    api: Api,
    place: Exporting,
    again: Again,
    headers: HeaderMap,
    asker: Asker,
    tenant: TenantId,
    filter: Filter,
    last: i64,
}

/// Why the rest of an export does not come.
#[derive(Debug, thiserror::Error)]
enum BrokeOff {
    #[error("it took too long")]
    TooLong,
    #[error("its caller is not let in any more: {0}")]
    NotLetIn(Cow<'static, str>),
    #[error("a store failed")]
    Store(#[from] StoreError),
}

/// All entries that are asked for, the oldest first, a line of JSON for each.
pub(super) async fn export(
    State(api): State<Api>,
    again: Again,
    headers: HeaderMap,
    InTenant { mut scope, .. }: InTenant,
    Parameters(filter): Parameters<Filter>,
) -> Held<Lines<Entry>> {
    let tenant = scope.tenant();
    let place = api.exports.begin(tenant)?;
    let last = audit::begin_export(&mut scope, &filter).await?;
    scope.commit().await?;
    let asker = request::asker();
    let export = Arc::new(Export { api, place, again, headers, asker, tenant, filter, last });
    let pages = stream::try_unfold((export, 0), |(export, after)| async move {
        let page = Arc::clone(&export).read(after).await.inspect_err(|error| {
            tracing::warn!(error = %Chain(error), "an export of the audit broke off");
        })?;
        Ok::<_, BrokeOff>(page.map(|(lines, after)| (lines, (export, after))))
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
    async fn read(self: Arc<Self>, after: i64) -> Result<Read, BrokeOff> {
        if self.place.is_over(Instant::now()) {
            return Err(BrokeOff::TooLong);
        }
        let page = tokio::spawn(async move {
            let asker = self.asker.clone();
            asker.scope(self.page(after)).await
        });
        page.await.map_err(|error| StoreError::retry(POSTGRES, error))?
    }

    /// The lines of some entries after `after`.
    async fn page(&self, after: i64) -> Result<Read, BrokeOff> {
        let _turn = self.place.turn().await;
        let opened = self.again.open(&self.api, &self.headers).await;
        let (mut scope, _) =
            opened.map_err(|refused| BrokeOff::NotLetIn(refused.problem().detail.clone()))?;
        if scope.tenant() != self.tenant {
            return Err(BrokeOff::NotLetIn(Cow::Borrowed("the path names another tenant now")));
        }
        let entries = audit::export_page(&mut scope, &self.filter, after, self.last).await;
        let entries = entries.map_err(StoreError::from)?;
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
