//! Accounts on a real Postgres, under the role of the admin API. Each test has a database of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod place;
mod house;
mod isolation;
mod scope;
mod audit;
mod registration;
mod login;
mod second_factor;
mod passkeys;
mod profile;
mod mails;
mod upkeep;
mod invitations;
mod sessions;
mod idempotency;
mod members;
mod roles;
mod lifecycle;
mod tenants;
mod erased;
mod projects;
mod keys;
mod machine_tokens;
mod dump;
