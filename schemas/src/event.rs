//! One event, whichever dialect it came in.

use std::fmt;

use crate::id::EventHash;
use crate::time::Micros;

/// What kind of call made the event: Segment's words, which other dialects map to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// A user did something: the kind of an event that names none.
    Track = 0,
    /// A user's traits.
    Identify = 1,
    /// A web page was seen.
    Page = 2,
    /// An app's screen was seen.
    Screen = 3,
    /// A user belongs to a group.
    Group = 4,
    /// Two ids are the same user.
    Alias = 5,
}

impl EventKind {
    const ALL: [Self; 6] = [Self::Track, Self::Identify, Self::Page, Self::Screen, Self::Group, Self::Alias];

    /// The word in requests and rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Identify => "identify",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    /// The kind that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ingest noticed about an event while accepting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventFlags(pub u8);

impl EventFlags {
    /// The client sent no id; the server made one, so retries of this event are not safe.
    pub const SERVER_ID: Self = Self(1);
    /// The client sent no time, or none that could be read; the time of receipt stands in.
    pub const SERVER_TIME: Self = Self(2);
    /// A number that JSON or a double cannot hold: a bare `NaN` or `Infinity` was stored as `null`, one beyond a
    /// double as its digits in quotes.
    pub const NOT_FINITE: Self = Self(4);
    /// The client's clock was wrong by a minute or more when it sent the event; its time was corrected by as much.
    pub const SKEW_CORRECTED: Self = Self(8);
    /// The event's time lay more than a day ahead of its receipt, which stands in.
    pub const CLAMPED: Self = Self(16);
    /// The client sent a time that could not be read: it is kept in `extra` and has no effect.
    pub const TIME_IGNORED: Self = Self(32);

    /// The tenant keeps no whole addresses: one that the client named in the event is not looked up whole either.
    pub const ADDRESS_SHORT: Self = Self(64);

    /// Whether any of those flags is set.
    #[must_use]
    pub fn has_any(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }

    /// Both sets of flags.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One event: the fields that the pipeline reads split out, everything else as the client's own JSON bytes.
///
/// Taken together, the four JSON fields and the split-out ones hold all that the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// Of project and id.
    pub hash: EventHash,
    /// Kind of call.
    pub kind: EventKind,
    /// What ingest noticed.
    pub flags: EventFlags,
    /// When it happened by the client's clock.
    pub timestamp: Micros,
    /// Unique within the project; the same in every retry.
    pub id: &'a str,
    /// What happened, such as `order_completed`; may be empty for kinds other than track.
    pub name: &'a str,
    /// Who did it, or empty.
    pub user_id: &'a str,
    /// Who did it before they were known, or empty.
    pub anonymous_id: &'a str,
    /// A JSON object or empty: `properties`, or `traits`, or `data`.
    pub properties: &'a str,
    /// A JSON object or empty: where and by what the event was recorded.
    pub context: &'a str,
    /// A JSON object or empty: every other member that the client sent.
    pub extra: &'a str,
}
