//! The SQL of each table.

pub mod plan;
pub mod tenant;
pub mod project;
pub mod key;
pub mod erasure;
