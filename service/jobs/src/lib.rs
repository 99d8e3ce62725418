//! Jobs: work that is done later, by whichever node has room for it. The queue is a table of Postgres. This crate knows
//! no job: each kind comes from outside, as a function.
//!
//! # The life of a job
//! [`insert`] writes it in the transaction that wants it: both are there, or neither. A [`Worker`] of any node claims
//! it: the claim is a lease, which the worker renews while the job runs. It ends by being deleted, by being put off
//! after a failure, or, after too many failures, as a *dead job*, which stays until an operator retries or discards it.
//!
//! # What holds
//! * Every job is done at least once. What a job changes in Postgres is changed exactly once, if it ends in the same
//!   transaction ([`Job::finish`]): a claim that was lost ends nothing, so a process that was suspended for an hour and
//!   wakes up commits nothing.
//! * A process that is killed loses its claims when their leases end, without anybody's help.
//! * Only Postgres's clock is asked: nodes whose clocks differ agree on what is due.
//! * A schedule fires once, however many nodes there are, and once after any time in which none was there.
//! * What a node does at once is bounded for each kind, a run by its kind's deadline, a payload by 64 KiB.

mod ended;
pub mod schedule;
pub mod metrics;
mod timing;
mod back_off;
mod db;
pub mod kind;
mod run;
mod worker;

pub use db::job::{
    Filter, Job, JobState, NewJob, SeenJob, discard, find, insert, list, retry, retry_key, sweep_dead,
};
pub use ended::{Ended, Failure};
pub use kind::Kind;
pub use schedule::Schedule;
pub use timing::Timing;
pub use worker::Worker;
