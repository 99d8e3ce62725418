//! Quotas, usage and outcomes: what a tenant may still send, what it has sent, and what became of it at ingest.
//!
//! # The path of a quota
//! A plan gives a tenant a cap for each [`period`]. Ingest nodes take slices of what is left of it ([`lease`]) and
//! spend them in memory; the processor, in the transaction that moves its cursor, counts what was stored
//! ([`ledger`]) and gives back the quota of duplicates and dead letters ([`settle`]); when a node is gone, the
//! [`reclaim`] task waits until the log has been processed past all that the node can have written, and gives back
//! what it had not spent.
//!
//! Apart from all that, [`outcomes`] keeps what ingest nodes have made of each tenant's events, minute by minute.
//! [`Billing`] is the role that runs what nobody waits for. [`river`] is the way of events at a glance: cursors,
//! leases, spools, disks.
//!
//! # What holds
//! * For each tenant and period, `quota_period.granted` = what live nodes hold or have spent + what was stored under
//!   settled leases or without one + copies that come back as duplicates ([`spool`]). It is raised only up to the
//!   cap, except for such copies, so no more is ever accepted.
//! * Every change of usage and quota that a log record causes is made in the one transaction that moves the cursor
//!   past that record.
//! * Rows are locked in one order: `quota_period` by tenant and period, then `quota_lease` by id.

mod db;
pub mod lease;
pub mod settle;
pub mod ledger;
pub mod spool;
pub mod reclaim;
pub mod usage;
pub mod outcomes;
pub mod river;
mod role;

pub use rating::period;
pub use role::Billing;
