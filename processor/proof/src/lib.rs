//! Proof: what is below the cursors is shown, mended, and, where somebody has a right to it, erased.
//!
//! # Path of an event after its commit
//! [`verify`] compares log, ledgers and rows; [`reconcile`] does so for ledgers and rows all the time. [`replay`]
//! brings back what is missing, [`repair`] also removes what should not be there; operators get both where they have
//! [`asked`]. [`erase`] takes rows out of
//! ClickHouse that somebody has a right to see gone, or that a plan keeps no longer ([`retain`]). [`rollup`] counts
//! hours for dashboards. [`seal`] signs what tenants' closed hours hold, and [`export`] hands it to them;
//! [`evidence`](line::evidence) says what a figure of usage stands on.
//!
//! # What holds
//! * *Nobody is served by a guess.* What can't be read is an error, and no verdict.
//! * *Totals stay provable* after an erasure: its sums are counted in one transaction before rows are deleted.
//! * *A crash at any point* leaves ledgers as they were. The process that begins again looks at the rows again.
//!
//! It stands on the processor, which knows nothing of it. So the role that runs both is here: [`Processing`].

pub mod metrics;
mod error;
mod stores;
mod turn;
mod round;
mod books;
mod scratch;
mod runs;
mod records;
mod db;
mod head;
mod verdict;
pub mod verify;
pub mod replay;
pub mod repair;
pub mod reconcile;
pub mod asked;
mod retain;
pub mod seal;
pub mod export;
pub mod line;
pub mod erase;
pub mod rollup;
mod role;

pub use erase::Eraser;
pub use error::EraseError;
pub use head::Head;
pub use line::evidence;
pub use role::Processing;
pub use round::Round;
pub use stores::Stores;
pub use verdict::{Unread, Verdict};
