use accounts::AccountError;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use metering::usage::series::{Group, Series, SeriesError, SeriesQuery, Step, of_tenant};
use schemas::problem::Place;
use schemas::time::Micros;
use serde::Deserialize;

use crate::api::Api;
use crate::auth::InTenant;
use crate::input::Parameters;
use crate::reply::{Answer, Refused};

/// What to show. Without any of it: the current period by day.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// From the beginning of its hour on; the current period if neither is named.
    from: Option<DateTime<Utc>>,
    /// Before.
    to: Option<DateTime<Utc>>,
    /// What is counted together: `day` if it is not named. At most 31 days by hour, 400 by day.
    by: Option<Step>,
    /// What is counted apart; nothing if it is not named.
    group: Option<Group>,
    /// Where days and months begin, an IANA name; the tenant's if it is not named. Hours are UTC's.
    time_zone: Option<String>,
}

pub(super) async fn show(
    State(api): State<Api>,
    InTenant { mut scope, .. }: InTenant,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Series> {
    let micros = |at: DateTime<Utc>| Micros(at.timestamp_micros());
    let zone = asked.time_zone.as_deref().map(str::parse::<Tz>).transpose();
    let zone = zone.map_err(|_| wrong("time_zone", "time_zone is an IANA name such as Europe/Berlin"))?;
    let (tenant, projects) = (scope.tenant(), scope.projects().map(<[_]>::to_vec));
    let query = SeriesQuery {
        projects: projects.as_deref(),
        from: asked.from.map(micros),
        to: asked.to.map(micros),
        now: Micros(api.clock.now_micros()),
        by: asked.by.unwrap_or_default(),
        group: asked.group,
        zone,
    };
    let counted = of_tenant(scope.connection(), tenant, &query).await?;
    // ClickHouse may take long: who waits for it keeps no connection from others.
    drop(scope);
    Ok(Json(counted.complete(&api.clickhouse).await?))
}

fn wrong(parameter: &str, rule: impl Into<String>) -> Refused {
    Refused::invalid_at(Place::Parameter(parameter.to_owned()), rule)
}

impl From<SeriesError> for Refused {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::NoTenant => AccountError::NotFound("such tenant".to_owned()).into(),
            SeriesError::Range(parameter, rule) => wrong(parameter, rule),
            SeriesError::Store(cause) => cause.into(),
        }
    }
}
