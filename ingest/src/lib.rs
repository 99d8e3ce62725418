//! Ingest: from HTTP to the log.
//!
//! # Path of an event
//! A request comes in ([`server`]) and finds its [`routes`]; its API key is looked up in the [`directory`], which
//! holds all keys and tenants in memory; its body is admitted within a byte budget ([`admission`]), inflated
//! ([`decompress`]) and read in one pass ([`decode`]); every event is checked and hashed ([`validate`]); the tenant's
//! [`rate`] and quota ([`lease`]) are charged; and the events go to the log as one frame a partition ([`append`]).
//! The [`reply`] leaves when the log has confirmed.
//!
//! # What a reply promises
//! * 2xx: every event counted as accepted is durable in the log.
//! * 4xx: nothing of what is refused is in the log. A problem document says why.
//! * 503 `not_durable`: not known. Sending the same ids again is safe.
//!
//! # On a crash
//! Nothing is held in memory that a client was promised. Slices of quota that the process had not spent come back
//! when the log has been processed past its end (`billing::reclaim`).

pub mod config;
pub mod metrics;
pub mod server;
pub mod routes;
pub mod directory;
pub mod auth;
pub mod admission;
pub mod decompress;
pub mod decode;
pub mod validate;
pub mod rate;
pub mod lease;
pub mod append;
pub mod reply;

pub use config::IngestConfig;
pub use server::Ingest;
