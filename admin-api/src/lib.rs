//! The admin API: tenants, projects, keys, quotas and usage over HTTP.
//!
//! # Path of a request
//! It comes to the operators' listener, gets its id (`request`), shows the operator's token ([`auth`]), finds its handler in [`routes`], which
//! calls a function of `accounts` or `metering`. The command line calls the same functions.
//!
//! # What holds
//! * Handlers have no rules of their own: whoever calls `accounts` by other means is held to the same.
//! * Every error is a problem document ([`reply`]). A failure of the database is logged, and not shown.

pub mod config;
pub mod api;
pub mod reply;
pub mod auth;
pub mod routes;
pub mod server;
mod request;

pub use config::AdminConfig;
pub use server::Admin;
