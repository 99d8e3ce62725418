//! Segments on the local disk.
