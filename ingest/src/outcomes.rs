//! Outcomes: what became of every event and request whose tenant is known, counted by tenant, project, key, minute of
//! receipt and [`Intake`], for the tenant to see.
//!
//! Counted in memory ([`Outcomes`]) and written to Postgres every few seconds ([`keep_written`]): not the difference
//! but the number so far, under the id of this run of the process, so that a write whose answer was lost may be
//! repeated. A process that is killed loses what it has not written, some seconds of counts; no event.
//!
//! A request counts for the tenant whose key it presents. Nobody can count against a tenant with the public part of a
//! key alone, and what presents no key that weir has ever made stands in the metrics only.

mod attempt;
mod tally;
mod counts;
mod write;

pub use attempt::Attempt;
pub use counts::{Outcomes, ROWS_MAX};
pub use write::keep_written;
