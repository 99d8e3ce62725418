//! The walk through a body: finds the events, gives each to its dialect, and goes on behind those it refuses.

use std::borrow::Cow;

use schemas::event::EventFlags;
use schemas::limit::EVENT_BYTES_MAX;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;

use super::batch_members::{BatchMembers, SharedObject};
use super::members::{Fault, Field, Members};
use super::scan::{Kind, Oddities, Scanner, SyntaxError};
use super::{Batch, EVENTS_MAX, Incoming, Rejection, SENT_BYTES_MAX};
use crate::room::Room;

/// What one family of SDKs sends.
pub(super) trait DialectParser {
    /// The bodies that its routes take.
    const SHAPES: Shapes;

    /// Where a member of an event, or of the object around the batch, belongs.
    fn place(key: &str) -> Option<Field>;

    /// The event that these members make.
    fn event<'a>(&self, members: &mut Members<'a>) -> Result<Incoming<'a>, Fault>;

    /// When the object around the batch says that the request was sent.
    fn sent_at(&self, members: &mut Members<'_>) -> Result<Option<Micros>, Fault>;

    /// Takes what the object around the batch says of the request alone: it is not stored.
    fn take_of_request(&self, outer: &mut Members<'_>) {
        // It names the request and is another in every retry.
        outer.take(Field::Id);
    }

    /// The API key where it has no member of its own.
    fn nested_key<'a>(_members: &Members<'a>) -> Option<Cow<'a, str>> {
        None
    }
}

/// Bodies that hold events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shapes {
    /// An object that is an event.
    pub(super) single: bool,
    /// An object with a `batch`.
    pub(super) batch: bool,
    /// A bare array.
    pub(super) list: bool,
}

/// Where in the body events stand, for pointers to what is wrong with them.
#[derive(Debug, Clone, Copy)]
enum Place {
    Single,
    List,
    Batch,
}

impl Place {
    fn pointer(self, index: u32, member: &str) -> Option<String> {
        let event = match self {
            Self::Single => String::new(),
            Self::List => format!("/{index}"),
            Self::Batch => format!("/batch/{index}"),
        };
        let pointer = if member.is_empty() { event } else { format!("{event}/{member}") };
        Some(pointer).filter(|pointer| !pointer.is_empty())
    }
}

/// A walk under way.
pub(super) struct Walk<'a, 'd, 'r, 'b, D> {
    dialect: &'d D,
    /// For what is made of the body.
    room: &'r mut Room<'b>,
    scanner: Scanner<'a>,
    place: Place,
    /// Events seen so far, good and bad.
    seen: usize,
    members: Members<'a>,
    batch: Batch<'a>,
}

/// Bytes around a batch that are not worth reckoning.
const SMALL_ENVELOPE_BYTES: usize = 4 * 1024;
/// Bytes of a rejection with its texts, about.
const REJECTION_BYTES: usize = 2 * size_of::<Rejection>();
/// A byte order mark, which .NET's clients write in front of UTF-8 and readers may ignore (RFC 8259, 8.1).
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Bytes of an event that is smaller than most: room for events is set aside by it.
const SMALL_EVENT_BYTES: usize = 256;

impl<'a, 'd, 'r, 'b, D: DialectParser> Walk<'a, 'd, 'r, 'b, D> {
    pub(super) fn new(dialect: &'d D, body_bytes: usize, room: &'r mut Room<'b>) -> Self {
        let events = (body_bytes / SMALL_EVENT_BYTES + 1).min(EVENTS_MAX);
        Self {
            dialect,
            room,
            scanner: Scanner::new(""),
            place: Place::List,
            seen: 0,
            members: Members::default(),
            batch: Batch {
                events: Vec::with_capacity(events),
                rejected: Vec::new(),
                write_key: None,
                keys_differ: false,
            },
        }
    }

    /// A body that is one JSON value.
    pub(super) fn json(mut self, text: &'a str) -> Result<Batch<'a>, Problem> {
        self.scanner = scanner(text);
        let mut around = BatchMembers::default();
        match self.scanner.peek() {
            None => return Err(Problem::new(Code::InvalidJson, "the body is empty")),
            Some(b'{') => around = self.object()?,
            Some(b'[') if D::SHAPES.list => self.list()?,
            Some(_) => {
                self.scanner.value()?;
                self.scanner.end()?;
                return Err(Problem::new(
                    Code::InvalidBatch,
                    "the body is neither an event nor a batch of events",
                ));
            }
        }
        self.scanner.end()?;
        self.finish(&around)
    }

    /// A body of lines, each an event. A line that is not JSON is refused alone.
    pub(super) fn lines(mut self, body: &'a [u8]) -> Result<Batch<'a>, Problem> {
        for line in body.split(|byte| *byte == b'\n') {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let index = self.next_index()?;
            match self.line(line) {
                Ok(()) => self.settle(index)?,
                Err(fault) => self.reject(index, None, &fault),
            }
        }
        self.finish(&BatchMembers::default())
    }

    fn line(&mut self, line: &'a [u8]) -> Result<(), Fault> {
        let not_json = |detail: String| Fault { code: Code::InvalidJson, member: "", detail: detail.into() };
        self.members.clear();
        let text =
            super::utf8(line).map_err(|at| not_json(format!("it is not UTF-8 at byte {at} of its line")))?;
        self.scanner = scanner(text);
        let read = self.event_object().and_then(|object| self.scanner.end().map(|()| object));
        match read {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_an_object()),
            Err(error) => Err(not_json(format!("{} of its line", error.describe()))),
        }
    }

    /// An object: an event, or what stands around a batch.
    fn object(&mut self) -> Result<BatchMembers<'a>, Problem> {
        let mut outer = Members::default();
        let mut batch = false;
        let mut more = self.scanner.open_object()?;
        while more {
            let key = self.scanner.key()?;
            if D::SHAPES.batch && key.name() == "batch" {
                if batch {
                    return Err(Problem::new(Code::InvalidBatch, "batch stands there twice").at("/batch"));
                }
                batch = true;
                self.batch()?;
            } else {
                outer.put(&self.scanner.member(key)?, D::place);
            }
            more = self.scanner.another_member()?;
        }
        if batch {
            return self.around(outer);
        }
        if !D::SHAPES.single {
            self.scanner.end()?;
            return Err(Problem::new(Code::InvalidBatch, "batch is missing: an array of events").at("/batch"));
        }
        self.place = Place::Single;
        self.members = outer;
        let index = self.next_index()?;
        self.settle(index)?;
        Ok(BatchMembers::default())
    }

    fn batch(&mut self) -> Result<(), Problem> {
        self.place = Place::Batch;
        if self.scanner.peek() == Some(b'[') {
            return self.list();
        }
        self.scanner.value()?;
        Err(Problem::new(Code::InvalidBatch, "batch must be an array of events").at("/batch"))
    }

    fn around(&mut self, mut outer: Members<'a>) -> Result<BatchMembers<'a>, Problem> {
        let whole = |fault: Fault| {
            let problem = Problem::new(Code::InvalidBatch, fault.detail);
            if fault.member.is_empty() { problem } else { problem.at(format!("/{}", fault.member)) }
        };
        outer.check().map_err(whole)?;
        // An event's members are bounded by its own limit; and the key and the time may be as long as the body here.
        self.room.derive(if outer.bytes() > SMALL_ENVELOPE_BYTES { outer.bytes() } else { 0 })?;
        if let Some(own) = key::<D>(&mut outer) {
            (self.batch.write_key, self.batch.keys_differ) = (Some(own), false);
        }
        self.dialect.take_of_request(&mut outer);
        Ok(BatchMembers {
            sent_at: self.dialect.sent_at(&mut outer).map_err(whole)?,
            flags: flags(outer.oddities()),
            context: SharedObject(outer.take_object(Field::Context, "context").map_err(whole)?),
            rest: SharedObject(outer.take_rest()),
        })
    }

    fn list(&mut self) -> Result<(), Problem> {
        let mut more = self.scanner.open_array()?;
        while more {
            let index = self.next_index()?;
            if self.event_object()? {
                self.settle(index)?;
            } else {
                self.reject(index, None, &not_an_object());
            }
            more = self.scanner.another_element()?;
        }
        Ok(())
    }

    /// Reads the members of an event; `false` if what stood there was not an object.
    #[inline]
    fn event_object(&mut self) -> Result<bool, SyntaxError> {
        if self.scanner.peek() != Some(b'{') {
            self.scanner.value()?;
            return Ok(false);
        }
        self.members.read(&mut self.scanner, D::place)?;
        Ok(true)
    }

    fn next_index(&mut self) -> Result<u32, Problem> {
        if self.seen == EVENTS_MAX {
            let detail = format!("the body holds more than {EVENTS_MAX} events");
            return Err(Problem::new(Code::InvalidBatch, detail));
        }
        self.seen += 1;
        Ok(u32::try_from(self.seen - 1).unwrap_or(u32::MAX))
    }

    /// The members that have been read are an event, or are refused.
    #[inline]
    fn settle(&mut self, index: u32) -> Result<(), Problem> {
        let members = &mut self.members;
        match (key::<D>(members), &self.batch.write_key) {
            (Some(key), Some(first)) => self.batch.keys_differ |= key != *first,
            (Some(key), None) => self.batch.write_key = Some(key),
            (None, _) => {}
        }
        let read = if members.bytes() > SENT_BYTES_MAX {
            Err(too_large())
        } else {
            members.check().and_then(|()| self.dialect.event(members))
        };
        match read {
            Ok(mut event) => {
                self.room.derive(event.derived_bytes())?;
                event.index = index;
                event.flags = flags(members.oddities()).with(absences(&event, members));
                self.batch.events.push(event);
            }
            Err(fault) => {
                let id = members.get(Field::Id).filter(|id| id.kind == Kind::String);
                let id = id.filter(|id| id.raw.len() <= SENT_BYTES_MAX);
                self.reject(index, id.map(|id| id.unescaped().text), &fault);
            }
        }
        Ok(())
    }

    fn reject(&mut self, index: u32, id: Option<Cow<'a, str>>, fault: &Fault) {
        self.batch.rejected.push(rejection(self.place, index, id.as_deref(), fault));
    }

    /// Adds what holds for all events, and refuses those that are too large with it.
    fn finish(mut self, around: &BatchMembers<'a>) -> Result<Batch<'a>, Problem> {
        if self.seen == 0 {
            return Err(Problem::new(Code::InvalidBatch, "the body holds no event"));
        }
        self.reject_large();
        if around.holds_for_events() {
            around.share(&mut self.batch.events, self.room)?;
            self.reject_large();
        }
        let (events, rejected) = (self.batch.events.capacity(), self.batch.rejected.capacity());
        self.room.charge(events * size_of::<Incoming<'_>>() + rejected * REJECTION_BYTES)?;
        Ok(self.batch)
    }

    fn reject_large(&mut self) {
        let rejected = &mut self.batch.rejected;
        let (sorted, place) = (rejected.len(), self.place);
        self.batch.events.retain(|event| {
            let fits = event.bytes() <= EVENT_BYTES_MAX;
            if !fits {
                rejected.push(rejection(place, event.index, event.id.as_deref(), &too_large()));
            }
            fits
        });
        if rejected.len() > sorted {
            rejected.sort_by_key(|rejection| rejection.index);
        }
    }
}

/// The key that an event, or what stands around a batch, names. That of the latter counts for all: a request is one
/// customer's.
#[inline]
fn key<'a, D: DialectParser>(members: &mut Members<'a>) -> Option<Cow<'a, str>> {
    let key = members.take(Field::Key).filter(|key| key.kind == Kind::String);
    key.map(|key| key.unescaped().text).or_else(|| D::nested_key(members))
}

fn scanner(text: &str) -> Scanner<'_> {
    let mut scanner = Scanner::new(text);
    scanner.skip(BYTE_ORDER_MARK);
    scanner
}

/// What the server makes up for, and a time that no one could read.
#[inline]
fn absences(event: &Incoming<'_>, members: &Members<'_>) -> EventFlags {
    let set = |flag, is_set| if is_set { flag } else { EventFlags::default() };
    let no_time = event.timestamp.is_none();
    let ignored = members.is_left(Field::Timestamp) || no_time && members.is_left(Field::OriginalTimestamp);
    set(EventFlags::SERVER_ID, event.id.is_none())
        .with(set(EventFlags::SERVER_TIME, no_time))
        .with(set(EventFlags::TIME_IGNORED, ignored))
}

fn flags(oddities: Oddities) -> EventFlags {
    let not_finite = Oddities::NOT_FINITE.with(Oddities::BEYOND_DOUBLE);
    if oddities.has(not_finite) { EventFlags::NOT_FINITE } else { EventFlags::default() }
}

fn rejection(place: Place, index: u32, id: Option<&str>, fault: &Fault) -> Rejection {
    let problem = Problem::new(fault.code, fault.detail.clone());
    let problem = match place.pointer(index, fault.member) {
        Some(pointer) => problem.at(pointer),
        None => problem,
    };
    Rejection { index, id: id.map(super::cut), problem }
}

fn not_an_object() -> Fault {
    Fault::invalid("", "an event must be an object")
}

fn too_large() -> Fault {
    let detail = format!("it takes more than {EVENT_BYTES_MAX} bytes");
    Fault { code: Code::EventTooLarge, member: "", detail: detail.into() }
}
