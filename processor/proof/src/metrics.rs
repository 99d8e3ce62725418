//! Names of these metrics.

/// Counter: ledger ranges whose rows were compared with the ledger.
pub const RECONCILED_RANGES: &str = "weir_reconcile_ranges_total";
/// Gauge: ledger ranges whose rows did not agree when they were last compared.
pub const MISMATCHED_RANGES: &str = "weir_reconcile_mismatched_ranges";
/// Gauge: seconds since the last run that compared all that it was to.
pub const RECONCILED_AGE_SECONDS: &str = "weir_reconcile_age_seconds";
/// Counter: tenants' hours that were sealed.
pub const SEALED_SPANS: &str = "weir_processor_sealed_hours_total";
/// Counter: how often a tenant's hour could not be sealed, since rows and usage did not agree.
pub const UNSEALED_SPANS: &str = "weir_processor_unsealed_hours_total";
/// Gauge: erasures that are asked for and not done.
pub const ERASURES_OPEN: &str = "weir_processor_erasures_open";
/// Gauge: seconds since the oldest of them was asked for.
pub const ERASURE_AGE_SECONDS: &str = "weir_processor_erasure_age_seconds";
/// Counter: events that were counted to be erased.
pub const ERASED: &str = "weir_processor_erased_events_total";
