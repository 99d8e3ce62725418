//! Which ids have been seen, and where first.
//!
//! The store is a cache of the log, on local disk, filled from ClickHouse when it is not there. Its rule is safe when
//! it runs ahead of the cursor: an event is a duplicate if and only if its id stands at an *earlier position*, so
//! reading the same record again gives the same answer. First positions are facts of the log, whatever process owned
//! the partition when they were noted.
//!
//! # Path of an id
//! A new id goes to a [`table`] in memory. When that is full, or an hour old, it becomes a [`run`]: a file of ids in
//! order, with a [`filter`] in memory that says which ids it can't have. Runs are [`merge`]d so that there are
//! few ([`tiers`]), and deleted as files when all their ids are older than the window ([`hours`]). The [`manifest`]
//! names the runs that count and the position below which they hold everything; what stands after it was in
//! memory when the process ended, and the processor reads it from ClickHouse.
//!
//! # What holds
//! * *Never empty by mistake.* A store that is lost, damaged, of another log, generation or smaller window is dropped,
//!   and filled from ClickHouse before it answers anything. Until [`SeenIds::filled`], it answers nothing.
//! * *Every changed byte is noticed*, when the store is opened or when a block is read. What is damaged is an error,
//!   and dropped.
//! * *Memory is bounded*, whatever the number of ids: see [`IdStores::new`].

pub mod metrics;
mod entry;
mod table;
mod hours;
mod filter;
mod block;
mod run;
mod merge;
mod tiers;
mod manifest;
mod folder;
mod memory;
mod background;
mod disk;
mod look_up;
mod ids;
mod stores;
#[cfg(test)]
mod tests;

pub use entry::Seen;
pub use hours::spans;
pub use ids::SeenIds;
pub use stores::{IdStores, Opened};
