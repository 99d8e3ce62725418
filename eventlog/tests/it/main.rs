//! The log on what it stands on: real disks and real brokers (or mocked ones, which the output says).

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod kafka;
mod spool;
