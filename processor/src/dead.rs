//! Dead letters: accepted events that this weir can't read, kept whole, each with the position of its log record.
//!
//! They are written in the commit of their batch ([`crate::commit`]), up to a [`budget`]. Operators look at them and
//! ask for their replay, or give them up: accounts writes that. A processor appends to the log again what of them can
//! be read by now ([`replay`]): these copies are judged, charged and proved like all that stands there. The letter
//! stays dead where it stood.

pub mod budget;
mod copy;
pub mod replay;
