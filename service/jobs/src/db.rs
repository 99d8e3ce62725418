//! The SQL of each table.

pub(crate) mod job;
pub(crate) mod schedule;
