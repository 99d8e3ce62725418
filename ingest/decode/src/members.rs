//! The members of one object, sorted into the places that a dialect gives them.

use std::borrow::Cow;

use schemas::problem::Code;

use super::scan::{Kind, Member, Oddities, Scanner, SyntaxError, Value, mended};
use super::{DEPTH_MAX, MEMBERS_MAX};

/// Places that members of an event may have. A dialect says which of its keys belongs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Kind,
    Event,
    /// What page and screen calls name apart from `event`.
    Name,
    UserId,
    AnonymousId,
    Timestamp,
    OriginalTimestamp,
    SentAt,
    Properties,
    Traits,
    Context,
    /// The API key, which is never stored.
    Key,
}

/// Bytes of the longest name that has a place, when each of its characters is an escape, and then some.
const ESCAPED_NAME_BYTES_MAX: usize = 256;

const FIELDS: usize = Field::Key as usize + 1;

/// Why one event is refused.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: Code,
    /// The member to blame; empty for the whole event.
    pub(super) member: &'static str,
    pub(super) detail: Cow<'static, str>,
}

impl Fault {
    pub(super) fn invalid(member: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Code::InvalidEvent, member, detail: detail.into() }
    }
}

/// A member that has a place.
#[derive(Debug, Clone, Copy)]
struct Placed<'a> {
    raw: &'a str,
    value: Value<'a>,
    /// Whether an event's own field holds it, so that it isn't kept a second time.
    taken: bool,
}

/// One object's members. Used again for the next object, so that its memory is.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    placed: [Option<Placed<'a>>; FIELDS],
    /// Members without a place, as they were sent.
    rest: Vec<&'a str>,
    /// Members, those included that are too many to be held.
    count: usize,
    /// Of all of them, as they were sent.
    bytes: usize,
    oddities: Oddities,
    depth: u32,
}

impl<'a> Members<'a> {
    /// Reads an object from its opening to its closing brace.
    #[inline]
    pub(super) fn read(
        &mut self,
        scanner: &mut Scanner<'a>,
        place: impl Fn(&str) -> Option<Field>,
    ) -> Result<(), SyntaxError> {
        self.clear();
        let mut more = scanner.open_object()?;
        while more {
            let key = scanner.key()?;
            self.put(&scanner.member(key)?, &place);
            more = scanner.another_member()?;
        }
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.placed = [None; FIELDS];
        self.rest.clear();
        (self.count, self.bytes, self.oddities, self.depth) = (0, 0, Oddities::default(), 0);
    }

    /// Takes a member in. Of two for one place the later counts, as in every JSON library that SDKs are built on;
    /// the earlier is kept with the rest.
    #[inline]
    pub(super) fn put(&mut self, member: &Member<'a>, place: impl Fn(&str) -> Option<Field>) {
        self.count += 1;
        self.bytes += member.raw.len();
        if self.count > MEMBERS_MAX {
            return;
        }
        self.oddities = self.oddities.with(member.key.oddities).with(member.value.oddities);
        self.depth = self.depth.max(member.value.depth);
        let field = match member.key.escaped {
            false => place(member.key.raw),
            // Longer than any name under escapes: not worth a copy.
            true if member.key.raw.len() > ESCAPED_NAME_BYTES_MAX => None,
            true => place(&member.key.name()),
        };
        let Some(field) = field else {
            self.rest.push(member.raw);
            return;
        };
        let placed = Placed { raw: member.raw, value: member.value, taken: false };
        let slot = &mut self.placed[field as usize];
        if field == Field::Key {
            // No key may be stored, so of several the first text counts and the others go nowhere.
            if slot.is_none_or(|earlier| earlier.value.kind != Kind::String) {
                *slot = Some(placed);
            }
        } else if let Some(earlier) = slot.replace(placed) {
            self.rest.push(earlier.raw);
        }
    }

    /// Refuses an object that is nested too deep or has too many members.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.depth >= DEPTH_MAX {
            return Err(Fault::invalid("", format!("it is nested deeper than {DEPTH_MAX} levels")));
        }
        if self.count > MEMBERS_MAX {
            return Err(Fault::invalid("", format!("it has more than {MEMBERS_MAX} members")));
        }
        Ok(())
    }

    /// Bytes of all members as they were sent.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn oddities(&self) -> Oddities {
        self.oddities
    }

    /// What stands in a place; `null` stands for nothing.
    #[inline]
    pub(super) fn get(&self, field: Field) -> Option<Value<'a>> {
        self.placed[field as usize].map(|placed| placed.value).filter(|value| value.kind != Kind::Null)
    }

    /// The same, and it has found its way into a field of the event.
    #[inline]
    pub(super) fn take(&mut self, field: Field) -> Option<Value<'a>> {
        let placed = self.placed[field as usize].as_mut()?;
        placed.taken = true;
        Some(placed.value).filter(|value| value.kind != Kind::Null)
    }

    /// Whether something stands in a place that has found its way into no field of the event.
    #[inline]
    pub(super) fn is_left(&self, field: Field) -> bool {
        self.placed[field as usize].is_some_and(|placed| !placed.taken && placed.value.kind != Kind::Null)
    }

    /// Takes a text, unless it is longer than `bytes_max`; `digits` says whether a number may stand for its digits.
    #[inline]
    pub(super) fn take_text(
        &mut self,
        field: Field,
        member: &'static str,
        bytes_max: usize,
        digits: Digits,
    ) -> Result<Option<Cow<'a, str>>, Fault> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let text = match (value.kind, digits) {
            (Kind::String, _) => value.unescaped().text,
            (Kind::Number, Digits::AsText) => Cow::Borrowed(value.raw),
            _ => return Err(Fault::invalid(member, format!("{member} must be {}", digits.expected()))),
        };
        if text.len() > bytes_max {
            return Err(Fault::invalid(member, format!("{member} is longer than {bytes_max} bytes")));
        }
        Ok(Some(text))
    }

    /// Takes an object; the text is empty where there is none.
    #[inline]
    pub(super) fn take_object(&mut self, field: Field, member: &'static str) -> Result<Cow<'a, str>, Fault> {
        match self.take(field) {
            None => Ok(Cow::Borrowed("")),
            Some(value) if value.kind == Kind::Object => Ok(value.kept()),
            Some(_) => Err(Fault::invalid(member, format!("{member} must be an object"))),
        }
    }

    /// An object of all members that no field of the event holds, or nothing if there are none.
    #[inline]
    pub(super) fn take_rest(&mut self) -> Cow<'a, str> {
        for placed in self.placed.iter().flatten() {
            if !placed.taken && placed.value.kind != Kind::Null {
                self.rest.push(placed.raw);
            }
        }
        if self.rest.is_empty() {
            return Cow::Borrowed("");
        }
        let len = self.rest.iter().map(|raw| raw.len() + 1).sum::<usize>() + 1;
        let mut object = String::with_capacity(len);
        for raw in &self.rest {
            object.push(if object.is_empty() { '{' } else { ',' });
            object.push_str(raw);
        }
        object.push('}');
        Cow::Owned(if self.oddities.is_none() { object } else { mended(&object) })
    }
}

/// Whether a number may stand where a text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    /// It stands for its digits, as it was written.
    AsText,
    /// It is refused.
    Refused,
}

impl Digits {
    fn expected(self) -> &'static str {
        match self {
            Self::AsText => "a string or a number",
            Self::Refused => "a string",
        }
    }
}
