use std::net::Ipv6Addr;

use uuid::Uuid;

use super::{EVENT_HEAD_LEN, Envelope, Trace, VERSION, VERSION_TRACED};
use crate::event::{Event, EventFlags, EventKind};
use crate::id::{EventHash, KeyId, LeaseId, ProjectId, TenantId};
use crate::time::Micros;

/// A frame, read in place: texts borrow the record's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// What the events share.
    pub envelope: Envelope<'a>,
    /// Where the request stands in a trace, if one follows it.
    pub trace: Option<Trace>,
    events: u16,
    body: &'a [u8],
}

/// Not a frame that this version can read. The processor keeps it as a dead letter.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// No bytes at all.
    #[error("the frame is empty")]
    Empty,
    /// Written by a newer weir, or not by weir.
    #[error("frame version {0} is not known")]
    Version(u8),
    /// The bytes end in the middle of a field.
    #[error("the frame is cut short")]
    Short,
    /// Lengths within the frame contradict one another.
    #[error("the frame's lengths do not add up")]
    Lengths,
    /// A field holds what no writer writes.
    #[error("the frame's {0} is out of range")]
    Field(&'static str),
    /// A text is not UTF-8.
    #[error("a text in the frame is not UTF-8")]
    Utf8,
}

impl<'a> Frame<'a> {
    /// Reads the envelope. The events are read, and checked, as they are walked.
    ///
    /// # Errors
    /// [`FrameError`] if the envelope can't be read.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader(bytes);
        let is_traced = match bytes.first() {
            None => return Err(FrameError::Empty),
            Some(&VERSION) => false,
            Some(&VERSION_TRACED) => true,
            Some(&version) => return Err(FrameError::Version(version)),
        };
        let [_version, flags] = reader.array()?;
        let events = reader.u16()?;
        let trace = if is_traced {
            Some(Trace { flags, trace_id: reader.array()?, span_id: reader.array()? })
        } else {
            None
        };
        let (tenant, project) = (TenantId(reader.i64()?), ProjectId(reader.i64()?));
        let key = KeyId::from_number(reader.i64()?).ok_or(FrameError::Field("key"))?;
        let (lease, period_start) = (LeaseId(reader.i64()?), reader.i64()?);
        let received_at = Micros(reader.i64()?);
        // Postgres and ClickHouse could not hold times beyond, and a record must never be able to stop a processor.
        if !(Micros(0)..Micros::RECEIVED_END).contains(&received_at) {
            return Err(FrameError::Field("received_at"));
        }
        if !(-31 * 86_400..=received_at.seconds()).contains(&period_start) {
            return Err(FrameError::Field("period_start"));
        }
        let request_id = Uuid::from_bytes(reader.array()?);
        let client_ip = Some(Ipv6Addr::from(reader.array::<16>()?)).filter(|ip| !ip.is_unspecified());
        let user_agent_len = usize::from(reader.u16()?);
        let user_agent = reader.text(user_agent_len)?;
        let envelope = Envelope {
            tenant,
            project,
            key,
            lease,
            period_start,
            received_at,
            request_id,
            client_ip,
            user_agent,
        };
        Ok(Self { envelope, trace, events, body: reader.0 })
    }

    /// How many events the writer put in.
    #[must_use]
    pub fn len(&self) -> u16 {
        self.events
    }

    /// Whether there is none: no writer writes such a frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// The events in order. After an error there are no more: the rest of the frame can't be found.
    #[must_use]
    pub fn events(&self) -> Events<'a> {
        Events { reader: Reader(self.body), left: self.events }
    }
}

/// Walks a frame's events.
#[derive(Debug)]
pub struct Events<'a> {
    reader: Reader<'a>,
    left: u16,
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.reader.0.is_empty() {
                return None;
            }
            self.reader = Reader(&[]);
            return Some(Err(FrameError::Lengths));
        }
        self.left -= 1;
        let event = self.reader.event();
        if event.is_err() {
            (self.left, self.reader) = (0, Reader(&[]));
        }
        Some(event)
    }
}

/// The bytes not read yet.
#[derive(Debug)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn event(&mut self) -> Result<Event<'a>, FrameError> {
        let body_len = usize::try_from(self.u32()?).map_err(|_| FrameError::Lengths)?;
        let mut body = Reader(self.take(body_len)?);
        if body_len < EVENT_HEAD_LEN {
            return Err(FrameError::Lengths);
        }
        let hash = EventHash(u128::from_le_bytes(body.array()?));
        let timestamp = Micros(body.i64()?);
        if !(Micros::CLIENT_MIN..=Micros::CLIENT_MAX).contains(&timestamp) {
            return Err(FrameError::Field("timestamp"));
        }
        let [kind, flags, id_len] = body.array()?;
        let kind = EventKind::from_byte(kind).ok_or(FrameError::Field("kind"))?;
        let (name_len, user_len, anonymous_len) = (body.u16()?, body.u16()?, body.u16()?);
        let (properties_len, context_len, extra_len) = (body.u32()?, body.u32()?, body.u32()?);
        let event = Event {
            hash,
            kind,
            flags: EventFlags(flags),
            timestamp,
            id: body.text(usize::from(id_len))?,
            name: body.text(usize::from(name_len))?,
            user_id: body.text(usize::from(user_len))?,
            anonymous_id: body.text(usize::from(anonymous_len))?,
            properties: body.text32(properties_len)?,
            context: body.text32(context_len)?,
            extra: body.text32(extra_len)?,
        };
        if body.0.is_empty() { Ok(event) } else { Err(FrameError::Lengths) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FrameError> {
        self.array().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, FrameError> {
        self.array().map(i64::from_le_bytes)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, FrameError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| FrameError::Utf8)
    }

    fn text32(&mut self, len: u32) -> Result<&'a str, FrameError> {
        self.text(usize::try_from(len).map_err(|_| FrameError::Lengths)?)
    }
}
