//! What weir's speed and truth are measured with.
//!
//! [`load`] is the load generator behind `weir load`: it sends events as an SDK would, times the replies, and
//! keeps a journal of what it was promised, so that after any crash one can check that every promise was kept.
//! [`floor`] is the server that no server can beat: it reads the body and answers. [`cpu`] is what both are paid in.

pub mod load;
pub mod floor;
pub mod cpu;
