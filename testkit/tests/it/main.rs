//! The whole river against real stores: what a customer sends is stored once, metered once, and cut off at the cap.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod river;
mod identity;
mod ids;
mod cap;
mod refusals;
mod debts;
mod dialects;
mod browsers;
mod sdk;
mod proof;
mod proxies;
mod enrich;
mod recovery;
mod dead;
mod alone;
mod repair;
mod reconcile;
mod rate_share;
mod cold_start;
mod keys;
mod leases;
mod line;
mod outcomes;
mod clock;
mod gray;
mod spool;
mod doubt;
mod queries;
mod rights;
mod erasure;
mod seals;
mod rollup;
mod usage;
mod people;
mod operators;
mod operated;
