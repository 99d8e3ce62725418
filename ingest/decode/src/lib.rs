//! Bodies to events: one pass over the bytes, and what is kept borrows from them. No I/O.
//!
//! # Path of a body
//! It is inflated ([`decompress`]), up to its limit and within the [`room`] that its sender has. If it is a form, the
//! JSON is taken out of it. Then the parser of its dialect walks the JSON once, and each event comes out as an
//! [`Incoming`] or a [`Rejection`], whatever the dialect.
//!
//! # What holds for every dialect
//! * **Nothing that the client sent is lost.** A member with no place of its own goes to `extra`, copied raw. Of two
//!   members for one place the later counts and the earlier goes to `extra`. Left out are only `null`, which stands
//!   for an absent member, API keys, and what says something about the request alone (when it was made and sent, its
//!   id, and that it is no import, around a batch).
//! * **Nothing is re-serialised**, and numbers keep their digits; except for the three oddities of `scan`, which
//!   readers behind ingest would refuse together with all that stands around them.
//! * **A bad event never costs its neighbours**, as long as the text is JSON: it becomes a [`Rejection`]. Where it
//!   is not, the rest of the batch can't be found and the whole body is refused; in NDJSON, the line alone.
//! * **Memory is bounded** by a small multiple of the body: no recursion, at most [`EVENTS_MAX`] events of at most
//!   [`MEMBERS_MAX`] members and [`SENT_BYTES_MAX`], checked before anything is made of them, and at most
//!   [`SHARED_BYTES_MAX`] for what stands around a batch and holds for each of its events. What is made, and not only
//!   borrowed from the body, takes [`Room`] as inflated bytes do. No object within an event is split into its members.
//!
//! Texts longer than the limits of [`schemas::limit`] are refused, never cut: a cut id would be another event's.

pub mod room;
pub mod decompress;
mod form;
mod native;
mod segment;
mod posthog;
mod cloudevents;
mod walk;
mod batch_members;
mod members;
mod scan;
mod text;
mod time;

use std::borrow::Cow;

use schemas::event::{Event, EventFlags, EventKind};
use schemas::id::EventHash;
use schemas::limit::{EVENT_BYTES_MAX, EVENT_ID_BYTES_MAX};
use schemas::problem::{Code, Problem};
use schemas::time::Micros;

use members::{Digits, Fault, Field, Members};
use room::Room;
use scan::Kind;
use walk::Walk;

pub use cloudevents::{binary_cloudevent, is_binary_cloudevent};
pub use form::{FormFields, form_fields, json_of_form};

/// Events in one request.
pub const EVENTS_MAX: usize = 10_000;
/// Objects and arrays within one another, the event itself included.
pub const DEPTH_MAX: u32 = 32;
/// Members of an event, those within its members not counted.
pub const MEMBERS_MAX: usize = 1_000;
/// Bytes of an event as it was sent. Twice what it may have in a frame: a number that is not finite takes up to nine
/// bytes, and is kept in four.
pub const SENT_BYTES_MAX: usize = 2 * EVENT_BYTES_MAX;
/// Bytes of what stands around a batch, once for each of its events.
pub const SHARED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes of a CloudEvent's id, and of its source: together they may be longer than a stored id.
pub const ATTRIBUTE_BYTES_MAX: usize = 1_024;
/// Bytes that are reckoned for the id of an event without one: a UUID's text.
pub const SERVER_ID_BYTES: usize = 36;

/// The events of one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Those that can be stored, in the request's order.
    pub events: Vec<Incoming<'a>>,
    /// Those that can't, in the request's order.
    pub rejected: Vec<Rejection>,
    /// The API key in the body, for dialects that put it there: the request's own, or else that of the first event
    /// that has one.
    pub write_key: Option<Cow<'a, str>>,
    /// Whether the body names no key of its own, and its events name several.
    pub keys_differ: bool,
}

impl Batch<'_> {
    /// The API key in the body.
    ///
    /// # Errors
    /// `invalid_batch` if its events name several: a request is one customer's.
    pub fn key(&self) -> Result<Option<&str>, Problem> {
        if self.keys_differ {
            let detail =
                "the events name different API keys: send those of each key in a request of their own";
            return Err(Problem::new(Code::InvalidBatch, detail));
        }
        Ok(self.write_key.as_deref())
    }
}

/// An event that can be stored, before it has a hash, and perhaps without an id and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming<'a> {
    /// Its place in the request, from 0.
    pub index: u32,
    /// Kind of call.
    pub kind: EventKind,
    /// What was noticed. An event without an id or a time is marked as such here already.
    pub flags: EventFlags,
    /// 1 to [`EVENT_ID_BYTES_MAX`] bytes; `None` if the client sent none.
    pub id: Option<Cow<'a, str>>,
    /// What happened; empty only for kinds other than track.
    pub name: Cow<'a, str>,
    /// Who did it, or empty.
    pub user_id: Cow<'a, str>,
    /// Who did it before they were known, or empty.
    pub anonymous_id: Cow<'a, str>,
    /// When it happened by the client's clock; `None` if the client didn't say so legibly.
    pub timestamp: Option<Micros>,
    /// When the client sent it, by the same clock: the event's own word, or else the request's.
    pub sent_at: Option<Micros>,
    /// A JSON object or empty.
    pub properties: Cow<'a, str>,
    /// A JSON object or empty.
    pub context: Cow<'a, str>,
    /// A JSON object or empty: every other member.
    pub extra: Cow<'a, str>,
}

impl Incoming<'_> {
    /// The event as it is put into a frame, under the id and time that it has or was given.
    #[must_use]
    pub fn event<'b>(&'b self, hash: EventHash, id: &'b str, timestamp: Micros) -> Event<'b> {
        Event {
            hash,
            kind: self.kind,
            flags: self.flags,
            timestamp,
            id,
            name: &self.name,
            user_id: &self.user_id,
            anonymous_id: &self.anonymous_id,
            properties: &self.properties,
            context: &self.context,
            extra: &self.extra,
        }
    }

    /// Bytes of texts that were made for it, and are not the body's.
    #[inline]
    fn derived_bytes(&self) -> usize {
        let texts =
            [&self.name, &self.user_id, &self.anonymous_id, &self.properties, &self.context, &self.extra];
        let made = |text: &&Cow<'_, str>| if let Cow::Owned(text) = *text { text.capacity() } else { 0 };
        texts.iter().chain(&self.id.as_ref()).map(made).sum()
    }

    /// Bytes that the event takes in a frame, with an id of [`SERVER_ID_BYTES`] if it has none.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let id_bytes = self.id.as_ref().map_or(SERVER_ID_BYTES, |id| id.len());
        schemas::frame::encoded_len(&self.event(EventHash(0), "", Micros(0))) + id_bytes
    }
}

/// An event that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Its place in the request, from 0.
    pub index: u32,
    /// Its id, cut at [`EVENT_ID_BYTES_MAX`], if it has a readable one.
    pub id: Option<String>,
    /// Why; `field` is a JSON pointer into the body, such as `/batch/3/event`.
    pub problem: Problem,
}

/// How the body of `POST /v1/events` is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeShape {
    /// One JSON value: an event, an array of events, or an object with an array `batch`.
    Json,
    /// An event on each line (`application/x-ndjson`). Blank lines are passed over and not counted.
    Ndjson,
}

/// Reads a body of weir's own dialect.
///
/// An object with a member `batch` is a batch. Times are RFC 3339 with an offset, or a number of seconds,
/// milliseconds or microseconds since 1970; ids are strings; `user_id` and `anonymous_id` are strings, or numbers,
/// which stand for their digits.
///
/// # Errors
/// `invalid_json` with the byte at fault, if the body is not JSON or not UTF-8; `invalid_batch` if it holds no event
/// or more than [`EVENTS_MAX`], or is neither event nor batch; `body_too_large` over [`SHARED_BYTES_MAX`]; and as
/// [`Room::derive`] for what is made of the body.
pub fn native<'a>(body: &'a [u8], shape: NativeShape, room: &mut Room<'_>) -> Result<Batch<'a>, Problem> {
    let walk = Walk::new(&native::Native, body.len(), room);
    match shape {
        NativeShape::Json => walk.json(checked_utf8(body)?),
        NativeShape::Ndjson => walk.lines(body),
    }
}

/// Reads a body of Segment's or RudderStack's SDKs: a batch (or a bare array), or one call whose `kind` the route
/// says.
///
/// A time that can't be read counts as absent and stays in `extra`. Traits become the properties of an identify
/// or group call that has no others.
///
/// # Errors
/// As [`native`].
pub fn segment<'a>(
    body: &'a [u8],
    kind: Option<EventKind>,
    room: &mut Room<'_>,
) -> Result<Batch<'a>, Problem> {
    let text = checked_utf8(body)?;
    match kind {
        Some(kind) => Walk::new(&segment::Call(kind), body.len(), room).json(text),
        None => Walk::new(&segment::Batches, body.len(), room).json(text),
    }
}

/// Reads a body of PostHog's SDKs: a batch, one event, or a bare array of events. `received_at` is what an event's
/// `offset` is counted back from; `sent_at` what header or query say, as [`instant`] reads it.
///
/// Times are as lenient as [`segment`]'s. The key stands in `api_key`, `token` or an event's `properties.token`.
///
/// # Errors
/// As [`native`].
pub fn posthog<'a>(
    body: &'a [u8],
    received_at: Micros,
    sent_at: Option<Micros>,
    room: &mut Room<'_>,
) -> Result<Batch<'a>, Problem> {
    let dialect = posthog::PostHog { received_at, sent_at, unnamed: "" };
    Walk::new(&dialect, body.len(), room).json(checked_utf8(body)?)
}

/// The same for `/engage`, which says who a user is: an event without a name is an identify call.
///
/// # Errors
/// As [`native`].
pub fn posthog_engage<'a>(
    body: &'a [u8],
    received_at: Micros,
    sent_at: Option<Micros>,
    room: &mut Room<'_>,
) -> Result<Batch<'a>, Problem> {
    let dialect = posthog::PostHog { received_at, sent_at, unnamed: posthog::IDENTIFY };
    Walk::new(&dialect, body.len(), room).json(checked_utf8(body)?)
}

/// A time as foreign SDKs write it outside of a body: ISO 8601, or a number since 1970.
#[must_use]
pub fn instant(text: &str) -> Option<Micros> {
    time::iso8601(text).or_else(|| time::since_1970(text))
}

/// Reads CloudEvents in structured or batched mode: one event or a bare array of events.
///
/// An event is stored under its source and id together. A time that can't be read counts as absent and stays in
/// `extra`.
///
/// # Errors
/// As [`native`].
pub fn cloudevents<'a>(body: &'a [u8], room: &mut Room<'_>) -> Result<Batch<'a>, Problem> {
    Walk::new(&cloudevents::CloudEvents, body.len(), room).json(checked_utf8(body)?)
}

fn checked_utf8(body: &[u8]) -> Result<&str, Problem> {
    utf8(body).map_err(|at| Problem::new(Code::InvalidJson, format!("the body is not UTF-8 at byte {at}")))
}

/// `bytes` as text, or the first byte that is not UTF-8.
fn utf8(bytes: &[u8]) -> Result<&str, usize> {
    simdutf8::basic::from_utf8(bytes)
        .map_err(|_| simdutf8::compat::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len))
}

/// Takes the id. An id that would equal another once it is stored is refused: the second would pass for a
/// duplicate of the first.
fn id<'a>(
    members: &mut Members<'a>,
    field: Field,
    member: &'static str,
    digits: Digits,
) -> Result<Option<Cow<'a, str>>, Fault> {
    let lossy = members.get(field).is_some_and(|id| id.kind == Kind::String && id.unescaped().lossy);
    if lossy {
        return Err(Fault::invalid(member, format!("{member} holds NUL or half of a surrogate pair")));
    }
    members.take_text(field, member, EVENT_ID_BYTES_MAX, digits)
}

/// The part of an id that a reply repeats: the id may be over its limit.
fn cut(id: &str) -> String {
    id[..id.floor_char_boundary(EVENT_ID_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
