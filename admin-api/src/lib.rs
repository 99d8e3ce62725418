//! The admin API: tenants, projects, keys, quotas, usage, and people over HTTP.
//!
//! # Path of a request
//! It comes to one of two listeners ([`listener`]), gets its id (`request`), is counted ([`rate`]), and has to name one
//! host (`edge`). The table of routes ([`routes`]) says on which listener a route is and who may call it, and the guard
//! ([`auth`]) finds out whether this is somebody who may: with an access token or a machine token, on the operators'
//! listener with the operator's token. `conditions` hold it to `If-Match` and `Idempotency-Key`. Then it comes to its
//! handler, which calls a function of `accounts` or `metering`. The command line calls the same functions.
//!
//! # What holds
//! * Handlers have no rules of their own, and no check of who calls: what else calls `accounts` is held to the same.
//! * A route without a line in the table that says who may call it can't be written.
//! * The tenants' listener does not know the operator's token, and has no route that is the operator's.
//! * The tenant comes from the credential. A path that names another one names nothing: 404.
//! * A request whose transaction Postgres rolls back because of another one is carried out again by the guard.
//! * Every error is a problem document ([`reply`]). A failure of the database is logged, and not shown.

mod request;
pub mod reply;
pub mod rate;
mod exports;
pub mod config;
pub mod listener;
pub mod api;
mod input;
mod text;
pub mod auth;
mod describe;
mod conditions;
mod edge;
pub mod routes;
pub mod document;
pub mod server;

pub use auth::Access;
pub use config::AdminConfig;
pub use listener::Listener;
pub use routes::{Route, routes};
pub use server::{Admin, Pools};
