//! What a service stands on, against a real Postgres: migrations, and the roles that they make.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is wrong")]

mod pool;
mod roles;
