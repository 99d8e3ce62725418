//! What operators do: below `/v1/operator`, on their listener.

pub(super) mod plans;
pub(super) mod tenants;
pub(super) mod keys;
pub(super) mod people;
pub(super) mod audit;
pub(super) mod jobs;
pub(super) mod outbox;
