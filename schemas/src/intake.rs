//! What became of events at ingest: the closed set of outcomes that a tenant is shown.
//!
//! Where an accepted event ends afterwards is an [`Outcome`](crate::outcome::Outcome).

use std::fmt;

use crate::described::{self, described};
use crate::event::EventFlags;
use crate::problem::Code;

/// What ingest made of an event, or of a request whose events were never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Intake {
    /// Durable in the log.
    Accepted,
    /// It repeated an id of its own request.
    DuplicateOfRequest,
    /// The client went away before its reply: as with [`Code::NotDurable`], the events may or may not be stored.
    NoReply,
    /// Refused; the reply says so if its dialect has words for it.
    Refused(Code),
    /// Accepted, but not quite as it was sent. Such an event is counted as accepted too.
    Warned(Warning),
}

/// What a sender should know of an event that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Warning {
    /// It came without an id, so that a retry of it is another event.
    NoId,
    /// It said when it happened, but not legibly. That is kept in `extra`, and has no effect.
    TimeIgnored,
    /// Its client's clock was wrong by a minute or more, and its time was corrected by as much.
    TimeCorrected,
    /// Its time lay more than a day ahead, and the time of receipt stands in.
    TimeClamped,
    /// It held a number that JSON or a double cannot hold.
    NumberChanged,
}

/// Which of the kinds of outcome one is: events are accepted, repeated or refused, each once; warnings come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntakeKind {
    /// Durable.
    Accepted,
    /// A repetition within its request.
    Duplicate,
    /// Not taken.
    Refused,
    /// It is not known whether it is stored.
    Unknown,
    /// Of an event that is counted as accepted.
    Warning,
}

described!(
    IntakeKind,
    described::word(
        [Self::Accepted, Self::Duplicate, Self::Refused, Self::Unknown, Self::Warning].map(Self::as_str)
    )
);

impl IntakeKind {
    /// The word in replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for IntakeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for IntakeKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Warning {
    /// Every warning.
    pub const ALL: &[Self] =
        &[Self::NoId, Self::TimeIgnored, Self::TimeCorrected, Self::TimeClamped, Self::NumberChanged];

    /// The word in outcomes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoId => "no_id",
            Self::TimeIgnored => "time_ignored",
            Self::TimeCorrected => "time_corrected",
            Self::TimeClamped => "time_clamped",
            Self::NumberChanged => "number_changed",
        }
    }

    /// The flag that an event with this warning bears.
    #[must_use]
    pub fn flag(self) -> EventFlags {
        match self {
            Self::NoId => EventFlags::SERVER_ID,
            Self::TimeIgnored => EventFlags::TIME_IGNORED,
            Self::TimeCorrected => EventFlags::SKEW_CORRECTED,
            Self::TimeClamped => EventFlags::CLAMPED,
            Self::NumberChanged => EventFlags::NOT_FINITE,
        }
    }
}

impl Intake {
    /// How many outcomes there are.
    pub const COUNT: usize = Self::FIRST_WARNING + Warning::ALL.len();
    const FIRST_CODE: usize = 3;
    const FIRST_WARNING: usize = Self::FIRST_CODE + Code::ALL.len();

    /// Its place among all outcomes, below [`Self::COUNT`]. Of this build alone: never stored.
    #[must_use]
    pub fn place(self) -> usize {
        match self {
            Self::Accepted => 0,
            Self::DuplicateOfRequest => 1,
            Self::NoReply => 2,
            Self::Refused(code) => Self::FIRST_CODE + code as usize,
            Self::Warned(warning) => Self::FIRST_WARNING + warning as usize,
        }
    }

    /// The outcome at a place.
    #[must_use]
    pub fn at(place: usize) -> Option<Self> {
        Some(match place {
            0 => Self::Accepted,
            1 => Self::DuplicateOfRequest,
            2 => Self::NoReply,
            _ if place < Self::FIRST_WARNING => Self::Refused(*Code::ALL.get(place - Self::FIRST_CODE)?),
            _ => Self::Warned(*Warning::ALL.get(place - Self::FIRST_WARNING)?),
        })
    }

    /// The word in rows and replies: a problem's code as it stands in replies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::DuplicateOfRequest => "duplicate_of_request",
            Self::NoReply => "no_reply",
            Self::Refused(code) => code.as_str(),
            Self::Warned(warning) => warning.as_str(),
        }
    }

    /// The outcome that a word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        (0..Self::COUNT).filter_map(Self::at).find(|outcome| outcome.as_str() == word)
    }

    /// Which kind of outcome it is.
    #[must_use]
    pub fn kind(self) -> IntakeKind {
        match self {
            Self::Accepted => IntakeKind::Accepted,
            Self::DuplicateOfRequest => IntakeKind::Duplicate,
            Self::NoReply | Self::Refused(Code::NotDurable) => IntakeKind::Unknown,
            Self::Refused(_) => IntakeKind::Refused,
            Self::Warned(_) => IntakeKind::Warning,
        }
    }
}

impl fmt::Display for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_place_and_a_word_of_its_own() {
        let all: Vec<Intake> = (0..Intake::COUNT).filter_map(Intake::at).collect();
        assert_eq!(all.len(), Intake::COUNT);
        assert_eq!(Intake::at(Intake::COUNT), None);
        for (place, outcome) in all.iter().enumerate() {
            assert_eq!(outcome.place(), place, "{outcome}");
            assert_eq!(Intake::from_word(outcome.as_str()), Some(*outcome));
        }
        for code in Code::ALL {
            assert!(all.contains(&Intake::Refused(*code)), "{code}");
        }
        assert_eq!(Intake::from_word("stored"), None);
    }

    #[test]
    fn every_warning_has_a_flag_of_its_own() {
        let flags = Warning::ALL.iter().fold(0_u8, |flags, warning| {
            assert_eq!(warning.flag().0.count_ones(), 1);
            assert_eq!(flags & warning.flag().0, 0, "{warning:?}");
            flags | warning.flag().0
        });
        assert_eq!(flags.count_ones(), 5);
    }
}
