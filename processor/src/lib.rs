//! The processor: from the log to ClickHouse and the usage ledger, each event exactly once.
//!
//! # Path of an event
//! A processor [`own`]s some partitions; each has a cursor in Postgres. It reads a [`batch`] of frames after the
//! cursors, finds the ids seen before ([`seen`]), asks ClickHouse which rows of that range it has already, if there can
//! be any ([`repair`]), [`enrich`]es the others, [`insert`]s them in one [`block`], and [`commit`]s: one Postgres
//! transaction moves the cursors and adds usage, quota, batch ledger and dead letters. Three batches are under way at a
//! time ([`run`]): while one is committed, the next is inserted and the one after that is read.
//!
//! # What holds
//! * *Stored once.* What is a row depends on the log alone: an event is a duplicate if and only if its id stands at
//!   an earlier position. After any doubt (a start, a failed or unanswered insert) the rows that ClickHouse has are
//!   read back before anything is inserted.
//! * *Metered once.* Counters change only together with the cursor, which moves from exactly where the batch began,
//!   and only for the owner of the current epoch. A processor that lost its partition without knowing commits
//!   nothing.
//! * *Metered implies stored.* The commit follows the acknowledged insert.
//! * *Nothing is given up silently.* What can't be read becomes a [`dead`] letter, of which there may be only so many;
//!   when it can be read, it is [appended](dead::replay) to the log again.
//! * *What is below the cursors can be shown and mended*, by the crate `proof`. What both do there stands here: the
//!   locks ([`below`]), what must not come back ([`erased`]), and how [`rows`] are looked at and changed.
//! * *A crash at any point* leaves the cursor where it was, or moved with everything that belongs to it; the next
//!   owner begins there and reads back.

pub mod config;
pub mod metrics;
mod db;
pub mod mark;
pub mod own;
pub mod standing;
pub mod batch;
mod letter;
pub mod fill;
pub mod repair;
pub mod judge;
pub mod enrich;
mod row;
pub mod block;
pub mod insert;
pub mod commit;
pub mod stores;
pub mod erased;
pub mod below;
pub mod rows;
pub mod dead;
pub mod run;

pub use config::ProcessorConfig;
pub use enrich::Enricher;
pub use run::Processor;
