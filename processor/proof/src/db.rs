//! The SQL of each table.

pub(crate) mod dead_letter;
