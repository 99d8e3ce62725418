//! The versioned frame, and the log record that holds one or several.
//!
//! All events of one request for one partition travel as one frame (or several, each within
//! [`limit::FRAME_BYTES_MAX`]). Its bytes, all numbers little-endian:
//!
//! ```text
//! envelope  version u8 = 1, 0 u8, events u16, tenant i64, project i64, key i64, lease i64,
//!           period_start i64 (seconds), received_at i64 (microseconds), request_id [16], client_ip [16]
//!           (IPv6 or mapped IPv4, zero = unknown), user_agent u16 length + bytes
//! event     body u32 (bytes that follow this number), hash u128, timestamp i64, kind u8, flags u8,
//!           lengths: id u8, name u16, user_id u16, anonymous_id u16, properties u32, context u32, extra u32,
//!           then their bytes in that order
//! ```
//!
//! A log record is a frame, or a bundle of frames that were under way to the same partition at the same moment:
//!
//! A frame whose request is followed by a distributed trace has the request's place in that trace before its envelope's
//! numbers, and is version 3. All others are version 1, byte for byte:
//!
//! ```text
//! envelope  version u8 = 3, trace flags u8, events u16, trace id [16], span id [8], tenant i64, ... as in version 1
//! ```
//!
//! ```text
//! bundle    version u8 = 2, then for each frame its length u32 and its bytes
//! ```
//!
//! A record is written once and read for as long as the log is kept: golden ones of every version stand in
//! `schemas/golden` and must always decode.

mod bundle;
mod read;
mod write;

use std::net::Ipv6Addr;

use uuid::Uuid;

use crate::id::{KeyId, LeaseId, ProjectId, TenantId};
use crate::limit;
use crate::time::Micros;

pub use bundle::{BundleWriter, Frames, frames};
pub use read::{Events, Frame, FrameError};
pub use write::{FrameWriter, PushError, encoded_len, is_within_limits};

/// The version that is written where no trace follows the request.
const VERSION: u8 = 1;
/// The version that is written where a trace does.
const VERSION_TRACED: u8 = 3;
/// Bytes that [`VERSION_TRACED`] has more.
const TRACE_LEN: usize = 16 + 8;
/// Bytes of the envelope without the user agent.
const ENVELOPE_LEN: usize = 4 + 6 * 8 + 16 + 16 + 2;
/// Bytes of an event without its length and its texts.
const EVENT_HEAD_LEN: usize = 16 + 8 + 1 + 1 + 1 + 3 * 2 + 3 * 4;

/// What all events of a frame share: who sent them, when, and against which slice of quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Who pays.
    pub tenant: TenantId,
    /// The stream that the key belongs to.
    pub project: ProjectId,
    /// The key that was presented.
    pub key: KeyId,
    /// The slice of quota that was spent.
    pub lease: LeaseId,
    /// Start of the billing period that `received_at` falls in, in the tenant's time zone: unix seconds.
    pub period_start: i64,
    /// When ingest had read the request; decides hour, period and retention.
    pub received_at: Micros,
    /// The id that the reply carried.
    pub request_id: Uuid,
    /// The client's address (IPv4 mapped), if it is known.
    pub client_ip: Option<Ipv6Addr>,
    /// The client's `User-Agent`, cut at [`limit::USER_AGENT_BYTES_MAX`]; may be empty.
    pub user_agent: &'a str,
}

/// The place of a request in a distributed trace (W3C Trace Context, level 2). Ids are not checked here: the sender of
/// spans does that, so that no event is refused because of its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// `trace-flags`.
    pub flags: u8,
    /// `trace-id`.
    pub trace_id: [u8; 16],
    /// The span that wrote the frame: the parent of those that read it.
    pub span_id: [u8; 8],
}

const _: () = assert!(
    ENVELOPE_LEN + TRACE_LEN + limit::USER_AGENT_BYTES_MAX + limit::EVENT_BYTES_MAX < limit::FRAME_BYTES_MAX
);

#[cfg(test)]
mod tests;
