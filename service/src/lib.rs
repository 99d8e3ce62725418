//! What makes a process a service: configuration, telemetry, the clock, tasks and shutdown, an HTTP accept loop with
//! deadlines, health, and clients of the stores. It knows nothing of events.

pub mod config;
pub mod error;
pub mod telemetry;
pub mod trace;
pub mod clock;
pub mod shutdown;
pub mod task;
pub mod metrics;
pub mod tls;
pub mod http;
pub mod host;
pub mod client_address;
pub mod ops;
pub mod store;
pub mod postgres;
pub mod clickhouse;
pub mod migrate;
