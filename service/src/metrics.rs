//! Names of the metrics of every listener.

/// Gauge: open connections, by `listener` (ingest, admin, ops).
pub const CONNECTIONS: &str = "weir_http_connections";
/// Counter: connections that a deadline ended, by `listener` and `why` (handshake, header, idle, write).
pub const CUT: &str = "weir_http_connections_cut_total";
/// Counter: attempts to read new certificates, by `result` (ok, failed).
pub const TLS_RELOADS: &str = "weir_tls_reloads_total";
