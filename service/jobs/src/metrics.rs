//! Names of the metrics.

/// Gauge: jobs that are due and not claimed, by `kind`; counted up to 10,000.
pub const DUE: &str = "weir_jobs_due";
/// Gauge: since the oldest of them became due, by `kind`; 0 if there is none.
pub const DUE_AGE_SECONDS: &str = "weir_jobs_due_age_seconds";
/// Gauge: dead jobs, by `kind`; counted up to 10,000.
pub const DEAD: &str = "weir_jobs_dead";
/// Counter: runs that ended, by `kind` and `result` (done, retried, later, dead, lost).
pub const ENDED: &str = "weir_jobs_ended_total";
/// Histogram: from a run's begin to its end, by `kind`.
pub const SECONDS: &str = "weir_jobs_seconds";
/// Gauge: since a worker of this process last looked for jobs.
pub const LOOK_AGE_SECONDS: &str = "weir_jobs_look_age_seconds";
