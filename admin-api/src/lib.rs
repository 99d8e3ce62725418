//! The admin API: tenants, projects, keys, quotas and usage, over HTTP and as functions for the command line.
//!
//! # Path of a request
//! It comes to the operators' listener, gets its id (`request`), shows the operator's token ([`auth`]), finds its handler in [`routes`], which
//! calls the SQL of [`db`]. What the command line does, it does by the same functions.
//!
//! # What holds
//! * A key's text is in the reply that made it and nowhere else.
//! * A change is visible to every ingest node within a second: rows are numbered and announced by triggers.

pub mod config;
pub mod error;
pub mod db;
pub mod auth;
pub mod routes;
pub mod server;
mod request;

pub use config::AdminConfig;
pub use server::Admin;
