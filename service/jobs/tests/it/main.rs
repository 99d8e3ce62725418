//! Jobs on a real Postgres, as the role that runs them. Each test has a database of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod shop;
mod queue;
mod failures;
mod schedules;
