//! Names of the metrics.

/// Counter: mails, by `result` (sent, retried: the relay is away or said so, bounced: it refused the recipient for
/// good, refused: it refused the mail for good, dropped: too old, or nobody wants it).
pub const MAILS: &str = "weir_mails_total";
