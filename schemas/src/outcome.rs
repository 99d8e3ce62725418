//! Where accepted events end.

/// Every event that a frame carries ends in exactly one of these, so that
/// accepted = stored + duplicate + dead, per tenant and hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A row in ClickHouse, billed.
    Stored,
    /// The id had been seen at an earlier position: no row, not billed, its quota given back.
    Duplicate,
    /// It could not be stored: kept as raw bytes with its position and reason, not billed, its quota given back.
    Dead,
}

/// What usage is counted in. One meter today: events.
pub const METER_EVENTS: &str = "events";
