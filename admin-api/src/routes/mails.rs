use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use crate::api::Api;
use crate::auth::authenticator;
use crate::input::Parameters;
use crate::reply::Refused;

/// What stands in the header of a mail that nobody needs.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Unsubscribe {
    /// What the link in a mail's header holds.
    token: String,
}

/// One click in a mail program, as RFC 8058 has it: its body says nothing that matters.
pub(super) async fn unsubscribe(
    State(api): State<Api>,
    Parameters(Unsubscribe { token }): Parameters<Unsubscribe>,
) -> Result<StatusCode, Refused> {
    authenticator(&api)?.unsubscribe(&token).await?;
    Ok(StatusCode::NO_CONTENT)
}
