use accounts::{LIMIT, PageRequest, Scope, project};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use metering::outcomes::{Interval, OutcomePage, OutcomeQuery, of_tenant};
use schemas::problem::Place;
use schemas::time::Micros;
use serde::Deserialize;

use crate::api::Api;
use crate::auth::InTenant;
use crate::input::Parameters;
use crate::reply::{Answer, Refused};

/// Steps that one request may ask for.
const STEPS_MAX: i64 = 1_440;

/// What to show. Without any of it: the last 24 hours by the hour.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// From the beginning of its minute on; 24 hours before `to` if it is not named.
    from: Option<DateTime<Utc>>,
    /// Before; now if it is not named.
    to: Option<DateTime<Utc>>,
    /// What is counted together: `hour` if it is not named. At most 1,440 of them at once.
    interval: Option<Interval>,
    /// Of this project alone: its id or name.
    project: Option<String>,
    /// Of this key alone: its id.
    key: Option<String>,
    limit: Option<i64>,
    cursor: Option<String>,
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

fn wrong(parameter: &str, rule: impl Into<String>) -> Refused {
    Refused::invalid_at(Place::Parameter(parameter.to_owned()), rule)
}

impl Asked {
    /// # Errors
    /// A problem that names the parameter, or says that the tenant has no such project.
    async fn query(self, api: &Api, scope: &mut Scope) -> Result<OutcomeQuery, Refused> {
        let to = self.to.map_or_else(|| api.clock.now_micros(), |to| to.timestamp_micros());
        let from = self.from.map_or(to.saturating_sub(24 * Micros::HOUR), |from| from.timestamp_micros());
        if from < 0 || to >= Micros::RECEIVED_END.0 || from >= to {
            return Err(wrong("from", "from must lie before to, and both between 1970 and 2200"));
        }
        let interval = self.interval.unwrap_or(Interval::Hour);
        if interval.micros().is_some_and(|micros| (to - from) / micros > STEPS_MAX) {
            let rule = format!(
                "from and to are more than {STEPS_MAX} intervals apart: take a longer interval, or ask for less at once"
            );
            return Err(wrong("interval", rule));
        }
        let limit = self.limit.unwrap_or(LIMIT);
        PageRequest::new(Some(limit), None)?;
        let limit = u32::try_from(limit).unwrap_or_default();
        let project = match &self.project {
            Some(name) => Some(project::find(scope, name).await?),
            None => None,
        };
        let key = self.key.map(|key| key.parse()).transpose();
        let key = key.map_err(|_| wrong("key", "key is ten letters and digits, as in wk_live_<id>_..."))?;
        let after = self.cursor.map(|cursor| cursor.parse()).transpose();
        let after =
            after.map_err(|()| wrong("cursor", "cursor is what the last page says as `next_cursor`"))?;
        Ok(OutcomeQuery { from: Micros(from), to: Micros(to), interval, project, key, after, limit })
    }
}
