//! The SQL of each table that ingest reads: the crate `accounts` writes them.

pub(crate) mod api_key;
pub(crate) mod tenant;
