//! The admin API as its callers see it: a file for each resource, as in `src/routes`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod conditions;
mod contention;
mod hostile;
mod house;
mod idempotency;
mod invitations;
mod lists;
mod openid;
mod outcomes;
mod plans;
mod rates;
mod scarce;
mod security;
