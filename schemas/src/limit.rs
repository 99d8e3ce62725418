//! Limits that more than one crate must agree on. Each is tested at n and n+1 where it is enforced.

/// Bytes of an event id.
pub const EVENT_ID_BYTES_MAX: usize = 128;
/// Bytes of an event's name, user id or anonymous id.
pub const EVENT_NAME_BYTES_MAX: usize = 512;
/// Bytes of one event as it stands in a frame.
pub const EVENT_BYTES_MAX: usize = 512 * 1024;
/// Bytes of one frame: below the 1,000,000 or so that a Kafka broker takes by default.
pub const FRAME_BYTES_MAX: usize = 900_000;
/// Events in one frame: an event's index within its frame has 16 bits.
pub const FRAME_EVENTS_MAX: usize = u16::MAX as usize;
/// Bytes of a client's user agent that are kept; what is longer is cut.
pub const USER_AGENT_BYTES_MAX: usize = 512;
