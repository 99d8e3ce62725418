//! The dialect of Segment's and RudderStack's SDKs: lenient, since their users never see an answer.

use std::borrow::Cow;

use schemas::event::{EventFlags, EventKind};
use schemas::limit::EVENT_NAME_BYTES_MAX;
use schemas::time::Micros;

use super::members::{Digits, Fault, Field, Members};
use super::scan::Kind;
use super::walk::{DialectParser, Shapes};
use super::{Incoming, time};

/// `/v1/batch` and `/v1/import`.
#[derive(Debug)]
pub(super) struct Batches;

/// `/v1/track` and the like: the route says what kind of call the body is.
#[derive(Debug)]
pub(super) struct Call(pub(super) EventKind);

impl DialectParser for Batches {
    const SHAPES: Shapes = Shapes { single: false, batch: true, list: true };

    #[inline]
    fn place(key: &str) -> Option<Field> {
        place(key)
    }

    #[inline]
    fn event<'a>(&self, members: &mut Members<'a>) -> Result<Incoming<'a>, Fault> {
        let word = members.take_text(Field::Kind, "type", usize::MAX, Digits::Refused)?;
        let Some(word) = word else { return Err(Fault::invalid("type", "type is missing")) };
        let Some(kind) = EventKind::from_word(&word) else {
            return Err(Fault::invalid(
                "type",
                "type is none of track, identify, page, screen, group and alias",
            ));
        };
        event(members, kind)
    }

    fn sent_at(&self, members: &mut Members<'_>) -> Result<Option<Micros>, Fault> {
        Ok(sent_at(members))
    }
}

impl DialectParser for Call {
    const SHAPES: Shapes = Shapes { single: true, batch: false, list: false };

    #[inline]
    fn place(key: &str) -> Option<Field> {
        place(key)
    }

    /// A `type` that contradicts the route is kept with the rest of the event.
    #[inline]
    fn event<'a>(&self, members: &mut Members<'a>) -> Result<Incoming<'a>, Fault> {
        let word = members.get(Field::Kind).filter(|value| value.kind == Kind::String);
        if word.is_some_and(|value| value.unescaped().text == self.0.as_str()) {
            members.take(Field::Kind);
        }
        event(members, self.0)
    }

    fn sent_at(&self, members: &mut Members<'_>) -> Result<Option<Micros>, Fault> {
        Ok(sent_at(members))
    }
}

#[inline]
fn place(key: &str) -> Option<Field> {
    Some(match key {
        "messageId" => Field::Id,
        "event" => Field::Event,
        "name" => Field::Name,
        "type" => Field::Kind,
        "userId" => Field::UserId,
        "anonymousId" => Field::AnonymousId,
        "timestamp" => Field::Timestamp,
        "originalTimestamp" => Field::OriginalTimestamp,
        "sentAt" => Field::SentAt,
        "properties" => Field::Properties,
        "traits" => Field::Traits,
        "context" => Field::Context,
        "writeKey" => Field::Key,
        _ => return None,
    })
}

#[inline]
fn event<'a>(members: &mut Members<'a>, kind: EventKind) -> Result<Incoming<'a>, Fault> {
    let person = |members: &mut Members<'a>, field, member| {
        members.take_text(field, member, EVENT_NAME_BYTES_MAX, Digits::AsText).map(Option::unwrap_or_default)
    };
    Ok(Incoming {
        index: 0,
        kind,
        flags: EventFlags::default(),
        id: super::id(members, Field::Id, "messageId", Digits::AsText)?.filter(|id| !id.is_empty()),
        name: name(members, kind)?,
        user_id: person(members, Field::UserId, "userId")?,
        anonymous_id: person(members, Field::AnonymousId, "anonymousId")?,
        timestamp: [Field::Timestamp, Field::OriginalTimestamp]
            .into_iter()
            .find_map(|field| take_instant(members, field)),
        // Kept with the rest as well: it is one of the event's own members.
        sent_at: members.get(Field::SentAt).and_then(time::lenient),
        properties: properties(members, kind)?,
        context: members.take_object(Field::Context, "context")?,
        extra: members.take_rest(),
    })
}

/// A track call's event; for other calls their `name`, or else `event`, where RudderStack's mobile SDKs put it.
#[inline]
fn name<'a>(members: &mut Members<'a>, kind: EventKind) -> Result<Cow<'a, str>, Fault> {
    let text = |members: &mut Members<'a>, field, member| {
        members.take_text(field, member, EVENT_NAME_BYTES_MAX, Digits::Refused).map(Option::unwrap_or_default)
    };
    if kind != EventKind::Track && members.get(Field::Name).is_some() {
        return text(members, Field::Name, "name");
    }
    let name = text(members, Field::Event, "event")?;
    if name.is_empty() && kind == EventKind::Track {
        return Err(Fault::invalid("event", "event is missing: the name of what happened"));
    }
    Ok(name)
}

/// `properties`, or the traits that an identify or group call has in their stead.
#[inline]
fn properties<'a>(members: &mut Members<'a>, kind: EventKind) -> Result<Cow<'a, str>, Fault> {
    let has_traits = matches!(kind, EventKind::Identify | EventKind::Group);
    if has_traits && members.get(Field::Properties).is_none() {
        return members.take_object(Field::Traits, "traits");
    }
    members.take_object(Field::Properties, "properties")
}

/// Takes a time that can be read. One that can't be read is kept with the rest of the event.
#[inline]
fn take_instant(members: &mut Members<'_>, field: Field) -> Option<Micros> {
    let instant = members.get(field).and_then(time::lenient)?;
    members.take(field);
    Some(instant)
}

fn sent_at(members: &mut Members<'_>) -> Option<Micros> {
    members.take(Field::SentAt).and_then(time::lenient)
}
