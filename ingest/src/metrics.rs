//! Names of ingest's metrics.

/// Counter: replies, by `route` and `code` (`ok` or a problem's code).
pub const REPLIES: &str = "weir_ingest_replies_total";
/// Histogram: seconds from a request's header to its reply, by `route`.
pub const REPLY_SECONDS: &str = "weir_ingest_reply_seconds";
/// Counter: events, by `outcome` (accepted, duplicate_of_request, or a problem's code).
pub const EVENTS: &str = "weir_ingest_events_total";
/// Gauge: bytes of bodies being worked on.
pub const IN_FLIGHT_BYTES: &str = "weir_ingest_in_flight_bytes";
/// Counter: keys and tenants taken over from Postgres.
pub const DIRECTORY_CHANGES: &str = "weir_ingest_directory_changes_total";
/// Gauge: seconds since the directory was last known to be current.
pub const DIRECTORY_AGE_SECONDS: &str = "weir_ingest_directory_age_seconds";
/// Counter: rounds of lease renewal, by `result` (ok, failed).
pub const LEASE_ROUNDS: &str = "weir_ingest_lease_rounds_total";
