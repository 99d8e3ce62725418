//! Names of the metrics of every listener, and of traces.

/// Gauge: open connections, by `listener` (ingest, admin, ops).
pub const CONNECTIONS: &str = "weir_http_connections";
/// Counter: connections that a deadline ended, by `listener` and `why` (handshake, header, idle, write).
pub const CUT: &str = "weir_http_connections_cut_total";
/// Counter: attempts to read new certificates, by `result` (ok, failed).
pub const TLS_RELOADS: &str = "weir_tls_reloads_total";
/// Counter: spans, by `result` (sent, dropped: too many waited, failed: the receiver did not take them).
pub const TRACE_SPANS: &str = "weir_trace_spans_total";
