use accounts::AccountError;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use metering::usage::series::{Group, Series, SeriesError, SeriesQuery, Step, of_tenant};
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
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    by: Option<Step>,
    group: Option<Group>,
    time_zone: Option<String>,
}

pub(super) async fn show(
    State(api): State<Api>,
    InTenant { mut scope, .. }: InTenant,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Series> {
    let micros = |at: DateTime<Utc>| Micros(at.timestamp_micros());
    let zone = asked.time_zone.as_deref().map(str::parse::<Tz>).transpose();
    let zone = zone.map_err(|_| Refused::invalid("time_zone is an IANA name such as Europe/Berlin"))?;
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
    Ok(Json(of_tenant(scope.connection(), &api.clickhouse, tenant, &query).await?))
}

impl From<SeriesError> for Refused {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::NoTenant => AccountError::NotFound("such tenant".to_owned()).into(),
            SeriesError::Range(rule) => Self::invalid(rule),
            SeriesError::Store(cause) => cause.into(),
        }
    }
}
