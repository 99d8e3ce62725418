//! Ingest: from HTTP to the log.
//!
//! # Path of an event
//! A request comes in ([`server`]) and finds its [`routes`], which name its dialect; its API key is looked up in the
//! [`directory`], which holds all keys and every [`tenant`] in memory; its body is admitted within a byte budget
//! ([`admission`]), inflated and read in one pass, by a parser for each dialect into one kind of event ([`decode`]);
//! the tenant's [`rate`] is charged; every event is checked, hashed and set to weir's clock ([`validate`]), which is
//! held against Postgres's ([`timekeeper`]); the quota is charged ([`lease`]); and the events go to the log as one
//! frame a partition ([`append`]). The [`reply`], in the dialect's own words, leaves when the log has confirmed. It
//! says what the tenant may still send ([`allowance`]), and any web page may read it ([`cors`]). What became of each
//! event is counted for its tenant to see ([`outcomes`]).
//!
//! Where the key stands in the body, as browsers' SDKs have it, the body is read before the tenant is known: byte
//! budgets, and the [`rate`] of an address, hold before that.
//!
//! While the log is away, events go to a [`spool`] on the local disk instead, if the node has one.
//!
//! # What a reply promises
//! * 2xx: every event counted as accepted is durable, in the log or in the spool.
//! * 4xx: nothing of what is refused is in the log. A problem document says why.
//! * 503 `not_durable`: not known. Sending the same ids again is safe.
//!
//! # On a crash
//! Nothing is held in memory that a client was promised. Of what tenants are shown of their [`outcomes`], the last
//! seconds are lost. Slices of quota that the process had not spent come back when the log has been processed past its
//! end (`metering::reclaim`).

pub mod config;
pub mod metrics;
mod db;
pub mod server;
pub mod host;
pub mod routes;
pub mod settings;
pub mod auth;
pub mod directory;
pub mod tenant;
pub mod admission;
pub mod timekeeper;
pub mod rate;
pub mod validate;
pub mod lease;
pub mod append;
pub mod spool;
pub mod reply;
pub mod allowance;
pub mod cors;
pub mod outcomes;

pub use config::IngestConfig;
pub use server::Ingest;
