use accounts::{Scope, project};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use metering::outcomes::{Interval, OutcomePage, OutcomeQuery, PAGE_ROWS_MAX, of_tenant};
use schemas::time::Micros;
use serde::Deserialize;

use crate::api::Api;
use crate::auth::InTenant;
use crate::reply::{Answer, Parameters, Refused};

/// Counts in a page for which no limit is named.
const LIMIT: u32 = 1_000;
/// Steps that one request may ask for.
const STEPS_MAX: i64 = 1_440;

/// What to show. Without any of it: the last 24 hours by the hour.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    interval: Option<Interval>,
    project: Option<String>,
    key: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

pub(super) async fn show(
    State(api): State<Api>,
    InTenant { mut scope, .. }: InTenant,
    Parameters(asked): Parameters<Asked>,
) -> Answer<OutcomePage> {
    let query = asked.query(&api, &mut scope).await?;
    let tenant = scope.tenant();
    Ok(Json(of_tenant(scope.connection(), tenant, &query).await?))
}

impl Asked {
    /// # Errors
    /// A problem that names the parameter, or says that the tenant has no such project.
    async fn query(self, api: &Api, scope: &mut Scope) -> Result<OutcomeQuery, Refused> {
        let to = self.to.map_or_else(|| api.clock.now_micros(), |to| to.timestamp_micros());
        let from = self.from.map_or(to.saturating_sub(24 * Micros::HOUR), |from| from.timestamp_micros());
        if from < 0 || to >= Micros::RECEIVED_END.0 || from >= to {
            return Err(Refused::invalid("from must lie before to, and both between 1970 and 2200"));
        }
        let interval = self.interval.unwrap_or(Interval::Hour);
        if interval.micros().is_some_and(|micros| (to - from) / micros > STEPS_MAX) {
            return Err(Refused::invalid(format!(
                "from and to are more than {STEPS_MAX} intervals apart: take a longer interval, or ask for less at once"
            )));
        }
        let limit = self.limit.unwrap_or(LIMIT);
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return Err(Refused::invalid(format!("limit is a number from 1 to {PAGE_ROWS_MAX}")));
        }
        let project = match &self.project {
            Some(name) => Some(project::find(scope, name).await?),
            None => None,
        };
        let key = self.key.map(|key| key.parse()).transpose();
        let key =
            key.map_err(|_| Refused::invalid("key is ten letters and digits, as in wk_live_<id>_..."))?;
        let after = self.after.map(|after| after.parse()).transpose();
        let after = after.map_err(|()| Refused::invalid("after is what the last page says as `next`"))?;
        Ok(OutcomeQuery { from: Micros(from), to: Micros(to), interval, project, key, after, limit })
    }
}
