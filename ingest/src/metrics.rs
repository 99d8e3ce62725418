//! Names of ingest's metrics.

use metrics::{Counter, Histogram};

/// Counter: replies, by `route` and `code` (`ok` or a problem's code).
pub const REPLIES: &str = "weir_ingest_replies_total";
/// Histogram: seconds from a request's header to its reply, by `route`.
pub const REPLY_SECONDS: &str = "weir_ingest_reply_seconds";
/// Counter: events whose sender is known, by `route` and `outcome` (accepted, duplicate_of_request, or a problem's
/// code).
pub const EVENTS: &str = "weir_ingest_events_total";
/// Gauge: bytes of bodies being worked on.
pub const IN_FLIGHT_BYTES: &str = "weir_ingest_in_flight_bytes";
/// Counter: keys and tenants taken over from Postgres.
pub const DIRECTORY_CHANGES: &str = "weir_ingest_directory_changes_total";
/// Histogram: seconds that it took to save keys and tenants on the disk.
pub const DIRECTORY_SAVE_SECONDS: &str = "weir_ingest_directory_save_seconds";
/// Gauge: seconds since the directory was last known to be current.
pub const DIRECTORY_AGE_SECONDS: &str = "weir_ingest_directory_age_seconds";
/// Counter: rounds in which nodes shared rates, by `result` (ok, failed).
pub const RATE_ROUNDS: &str = "weir_ingest_rate_rounds_total";
/// Gauge: seconds since this node's shares of rates last followed what is asked for.
pub const RATE_AGE_SECONDS: &str = "weir_ingest_rate_age_seconds";
/// Gauge: live ingest nodes that share rates, this one included.
pub const RATE_NODES: &str = "weir_ingest_rate_nodes";
/// Gauge: tenants in whose rate this node has a share of its own.
pub const RATE_TENANTS: &str = "weir_ingest_rate_tenants";
/// Gauge: rows of outcomes in memory: those of open minutes, and those that are not written yet.
pub const OUTCOME_ROWS: &str = "weir_ingest_outcome_rows";
/// Gauge: seconds since all outcomes were last written to Postgres.
pub const OUTCOME_AGE_SECONDS: &str = "weir_ingest_outcome_age_seconds";
/// Counter: rounds in which outcomes were written, by `result` (ok, failed).
pub const OUTCOME_ROUNDS: &str = "weir_ingest_outcome_rounds_total";
/// Counter: events and requests whose outcome was counted for their project, because there were rows for no more keys.
pub const OUTCOMES_FOLDED: &str = "weir_ingest_outcomes_folded_total";
/// Counter: events and requests whose outcome was counted for nobody, because there were no rows at all any more.
pub const OUTCOMES_LOST: &str = "weir_ingest_outcomes_lost_total";
/// Gauge: seconds by which the node's clock is ahead of Postgres's at least, or behind it (negative), as of the last
/// heartbeat or of what was noticed since.
pub const CLOCK_SKEW_SECONDS: &str = "weir_ingest_clock_skew_seconds";
/// Counter: rounds of lease renewal, by `result` (ok, failed).
pub const LEASE_ROUNDS: &str = "weir_ingest_lease_rounds_total";

/// [`REPLIES`] of a route with a code.
pub(crate) fn reply(route: &'static str, code: &'static str) -> Counter {
    metrics::counter!(REPLIES, "route" => route, "code" => code)
}

/// [`REPLY_SECONDS`] of a route.
pub(crate) fn reply_seconds(route: &'static str) -> Histogram {
    metrics::histogram!(REPLY_SECONDS, "route" => route)
}

/// [`EVENTS`] of a route with an outcome.
pub(crate) fn events(route: &'static str, outcome: &'static str) -> Counter {
    metrics::counter!(EVENTS, "route" => route, "outcome" => outcome)
}
