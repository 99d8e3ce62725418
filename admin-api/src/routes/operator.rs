//! What operators do: below `/v1/operator`, on their listener.

pub(super) mod plans;
pub(super) mod tenants;
pub(super) mod keys;
pub(super) mod people;
pub(super) mod audit;
pub(super) mod river;
pub(super) mod dead_letters;
pub(super) mod reconciliation;
pub(super) mod jobs;
pub(super) mod outbox;
pub(super) mod status;

use serde::Deserialize;

/// Why something is done to somebody: the audit says it.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    reason: String,
}
