use bytes::{BufMut, Bytes, BytesMut};

use super::{ENVELOPE_LEN, EVENT_HEAD_LEN, Envelope, TRACE_LEN, Trace, VERSION, VERSION_TRACED};
use crate::event::Event;
use crate::limit::{EVENT_BYTES_MAX, FRAME_BYTES_MAX, FRAME_EVENTS_MAX, USER_AGENT_BYTES_MAX};

/// Bytes that `event` takes in a frame.
#[must_use]
pub fn encoded_len(event: &Event<'_>) -> usize {
    4 + EVENT_HEAD_LEN
        + event.id.len()
        + event.name.len()
        + event.user_id.len()
        + event.anonymous_id.len()
        + event.properties.len()
        + event.context.len()
        + event.extra.len()
}

/// Whether a frame may hold `event`: it takes [`EVENT_BYTES_MAX`] bytes at most, and no text is longer than its length
/// can say.
#[must_use]
pub fn is_within_limits(event: &Event<'_>) -> bool {
    let is_short = |text: &str| u16::try_from(text.len()).is_ok();
    encoded_len(event) <= EVENT_BYTES_MAX
        && u8::try_from(event.id.len()).is_ok()
        && [event.name, event.user_id, event.anonymous_id].into_iter().all(is_short)
}

/// Why an event was not added to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The frame has no room for it: finish it and begin another.
    #[error("the frame is full")]
    Full,
    /// No frame takes it: see [`is_within_limits`].
    #[error("the event is over its limit")]
    OverLimit,
}

/// Builds one frame.
#[derive(Debug)]
pub struct FrameWriter {
    buffer: BytesMut,
    events: u16,
}

impl FrameWriter {
    /// A frame without events; `capacity` bytes are set aside for them.
    #[must_use]
    pub fn new(envelope: &Envelope<'_>, capacity: usize) -> Self {
        Self::traced(envelope, None, capacity)
    }

    /// The same for a request that a trace may follow. Without one, the bytes are those of [`FrameWriter::new`].
    #[must_use]
    pub fn traced(envelope: &Envelope<'_>, trace: Option<&Trace>, capacity: usize) -> Self {
        let user_agent = cut(envelope.user_agent, USER_AGENT_BYTES_MAX);
        let trace_len = if trace.is_some() { TRACE_LEN } else { 0 };
        let mut buffer = BytesMut::with_capacity(ENVELOPE_LEN + trace_len + user_agent.len() + capacity);
        buffer.put_u8(if trace.is_some() { VERSION_TRACED } else { VERSION });
        buffer.put_u8(trace.map_or(0, |trace| trace.flags));
        buffer.put_u16_le(0);
        if let Some(trace) = trace {
            buffer.put_slice(&trace.trace_id);
            buffer.put_slice(&trace.span_id);
        }
        for number in [
            envelope.tenant.0,
            envelope.project.0,
            envelope.key.number(),
            envelope.lease.0,
            envelope.period_start,
            envelope.received_at.0,
        ] {
            buffer.put_i64_le(number);
        }
        buffer.put_slice(envelope.request_id.as_bytes());
        buffer.put_slice(&envelope.client_ip.map_or([0; 16], |ip| ip.octets()));
        put_text16(&mut buffer, user_agent);
        buffer.put_slice(user_agent.as_bytes());
        Self { buffer, events: 0 }
    }

    /// Adds an event.
    ///
    /// # Errors
    /// [`PushError`]; nothing is changed then.
    pub fn push(&mut self, event: &Event<'_>) -> Result<(), PushError> {
        if !is_within_limits(event) {
            return Err(PushError::OverLimit);
        }
        let len = encoded_len(event);
        if self.buffer.len() + len > FRAME_BYTES_MAX || usize::from(self.events) == FRAME_EVENTS_MAX {
            return Err(PushError::Full);
        }
        self.events += 1;
        let buffer = &mut self.buffer;
        put_text32_len(buffer, len - 4);
        buffer.put_u128_le(event.hash.0);
        buffer.put_i64_le(event.timestamp.0);
        buffer.put_u8(event.kind as u8);
        buffer.put_u8(event.flags.0);
        buffer.put_u8(u8::try_from(event.id.len()).unwrap_or_default());
        for text in [event.name, event.user_id, event.anonymous_id] {
            put_text16(buffer, text);
        }
        for text in [event.properties, event.context, event.extra] {
            put_text32_len(buffer, text.len());
        }
        for text in [
            event.id,
            event.name,
            event.user_id,
            event.anonymous_id,
            event.properties,
            event.context,
            event.extra,
        ] {
            buffer.put_slice(text.as_bytes());
        }
        Ok(())
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u16 {
        self.events
    }

    /// The finished record.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.buffer[2..4].copy_from_slice(&self.events.to_le_bytes());
        self.buffer.freeze()
    }
}

/// Lengths are held to what their numbers can say before they come here.
fn put_text16(buffer: &mut BytesMut, text: &str) {
    buffer.put_u16_le(u16::try_from(text.len()).unwrap_or_default());
}

fn put_text32_len(buffer: &mut BytesMut, len: usize) {
    buffer.put_u32_le(u32::try_from(len).unwrap_or_default());
}

/// The longest prefix of `text` within `bytes_max` that ends on a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
