//! weir's own dialect: strict, so that a mistake shows at once.

use std::borrow::Cow;

use schemas::event::{EventFlags, EventKind};
use schemas::limit::{EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX};
use schemas::time::Micros;

use super::members::{Digits, Fault, Field, Members};
use super::scan::{Kind, Value};
use super::walk::{DialectParser, Shapes};
use super::{Incoming, time};

/// The dialect of `POST /v1/events`.
#[derive(Debug)]
pub(super) struct Native;

impl DialectParser for Native {
    const SHAPES: Shapes = Shapes { single: true, batch: true, list: true };

    #[inline]
    fn place(key: &str) -> Option<Field> {
        Some(match key {
            "id" => Field::Id,
            "event" => Field::Event,
            "type" => Field::Kind,
            "user_id" => Field::UserId,
            "anonymous_id" => Field::AnonymousId,
            "timestamp" => Field::Timestamp,
            "sent_at" => Field::SentAt,
            "properties" => Field::Properties,
            "context" => Field::Context,
            _ => return None,
        })
    }

    #[inline]
    fn event<'a>(&self, members: &mut Members<'a>) -> Result<Incoming<'a>, Fault> {
        let kind = kind(members)?;
        let (id, name) = (id(members)?, name(members, kind)?);
        let person = |members: &mut Members<'a>, field, member| {
            members
                .take_text(field, member, EVENT_NAME_BYTES_MAX, Digits::AsText)
                .map(Option::unwrap_or_default)
        };
        Ok(Incoming {
            index: 0,
            kind,
            flags: EventFlags::default(),
            id,
            name,
            user_id: person(members, Field::UserId, "user_id")?,
            anonymous_id: person(members, Field::AnonymousId, "anonymous_id")?,
            timestamp: instant(members.take(Field::Timestamp), "timestamp")?,
            sent_at: self.sent_at(members)?,
            properties: members.take_object(Field::Properties, "properties")?,
            context: members.take_object(Field::Context, "context")?,
            extra: members.take_rest(),
        })
    }

    /// It is read, and stays where it is: `extra` keeps it.
    fn sent_at(&self, members: &mut Members<'_>) -> Result<Option<Micros>, Fault> {
        instant(members.get(Field::SentAt), "sent_at")
    }
}

fn kind(members: &mut Members<'_>) -> Result<EventKind, Fault> {
    let Some(word) = members.take_text(Field::Kind, "type", usize::MAX, Digits::Refused)? else {
        return Ok(EventKind::Track);
    };
    EventKind::from_word(&word)
        .ok_or_else(|| Fault::invalid("type", "type must be track, identify, page, screen, group or alias"))
}

fn id<'a>(members: &mut Members<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let id = super::id(members, Field::Id, "id", Digits::Refused)?;
    if id.as_deref() == Some("") {
        return Err(Fault::invalid("id", format!("id must hold 1 to {EVENT_ID_BYTES_MAX} bytes")));
    }
    Ok(id)
}

fn name<'a>(members: &mut Members<'a>, kind: EventKind) -> Result<Cow<'a, str>, Fault> {
    let name = members.take_text(Field::Event, "event", EVENT_NAME_BYTES_MAX, Digits::Refused)?;
    match name {
        Some(name) if name.is_empty() => Err(Fault::invalid("event", "event must not be empty")),
        Some(name) => Ok(name),
        None if kind == EventKind::Track => {
            Err(Fault::invalid("event", "event is missing: the name of what happened"))
        }
        None => Ok(Cow::Borrowed("")),
    }
}

fn instant(value: Option<Value<'_>>, member: &'static str) -> Result<Option<Micros>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let instant = match value.kind {
        Kind::String => time::rfc3339(&value.unescaped().text),
        Kind::Number => time::since_1970(value.raw),
        Kind::Object | Kind::Array | Kind::Bool | Kind::Null => None,
    };
    let refused = || {
        let detail = format!(
            "{member} must be a time of 1900 to 2299 as in RFC 3339 with Z or an offset \
             (2026-11-05T09:30:00.123Z), or seconds, milliseconds or microseconds since 1970"
        );
        Fault::invalid(member, detail)
    };
    instant.map(Some).ok_or_else(refused)
}
