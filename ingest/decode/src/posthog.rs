//! The dialect of PostHog's SDKs: `/batch`, `/e`, `/capture` and their v1.
//!
//! PostHog's own events are named with a `$`; those that mean what a call of Segment's means get its kind.

use std::borrow::Cow;

use memchr::memmem;
use schemas::event::{EventFlags, EventKind};
use schemas::limit::EVENT_NAME_BYTES_MAX;
use schemas::time::Micros;

use super::members::{Digits, Fault, Field, Members};
use super::scan::{Kind, Member, Value, each_member};
use super::walk::{DialectParser, Shapes};
use super::{Incoming, time};

/// A request of PostHog's SDKs.
#[derive(Debug)]
pub(super) struct PostHog {
    /// What `offset` is counted back from: the client says how old an event is, not when it happened.
    pub(super) received_at: Micros,
    /// When header or query say that it was sent.
    pub(super) sent_at: Option<Micros>,
    /// What an event without a name is called; empty if it must have one.
    pub(super) unnamed: &'static str,
}

// Members that this dialect alone has stand in places that it has no other use for.
const OFFSET: Field = Field::OriginalTimestamp;
const MESSAGE_ID: Field = Field::Name;
const CREATED_AT: Field = Field::Traits;
const HISTORICAL_MIGRATION: Field = Field::Kind;

/// Says who a user is.
pub(super) const IDENTIFY: &str = "$identify";

/// What every weir key begins with.
const KEY_PREFIX: &str = "wk_";

impl DialectParser for PostHog {
    const SHAPES: Shapes = Shapes { single: true, batch: true, list: true };

    #[inline]
    fn place(key: &str) -> Option<Field> {
        Some(match key {
            "uuid" => Field::Id,
            "messageId" => MESSAGE_ID,
            "event" => Field::Event,
            "distinct_id" | "$distinct_id" => Field::UserId,
            "timestamp" => Field::Timestamp,
            "offset" => OFFSET,
            "sent_at" => Field::SentAt,
            "created_at" => CREATED_AT,
            "historical_migration" => HISTORICAL_MIGRATION,
            "properties" => Field::Properties,
            "api_key" | "token" | "$token" => Field::Key,
            _ => return None,
        })
    }

    #[inline]
    fn event<'a>(&self, members: &mut Members<'a>) -> Result<Incoming<'a>, Fault> {
        let name = name(members, self.unnamed)?;
        let sent = members.get(Field::Properties);
        let user_id = match user(members)? {
            Some(user) => user,
            None => nested_user(sent)?,
        };
        let properties = members.take_object(Field::Properties, "properties")?;
        let said = take_instant(members);
        let counted_back = if said.is_none() { self.offset(members) } else { None };
        // Kept with the rest as well: it is one of the event's own members. A time that is counted back from the
        // receipt needs no correction.
        let sent_at = members.get(Field::SentAt).and_then(time::lenient).or(self.sent_at);
        let sent_at = if counted_back.is_some() { Some(self.received_at) } else { sent_at };
        Ok(Incoming {
            index: 0,
            kind: kind(&name),
            flags: EventFlags::default(),
            id: id(members)?,
            name,
            user_id,
            anonymous_id: Cow::Borrowed(""),
            timestamp: said.or(counted_back),
            sent_at,
            properties: if has(sent, "token") { without_key(properties) } else { properties },
            context: Cow::Borrowed(""),
            extra: members.take_rest(),
        })
    }

    fn sent_at(&self, members: &mut Members<'_>) -> Result<Option<Micros>, Fault> {
        Ok(members.take(Field::SentAt).and_then(time::lenient))
    }

    /// When the batch was made, and that it is no import, which most SDKs say with each.
    fn take_of_request(&self, outer: &mut Members<'_>) {
        outer.take(CREATED_AT);
        if outer.get(HISTORICAL_MIGRATION).is_some_and(|value| value.raw == "false") {
            outer.take(HISTORICAL_MIGRATION);
        }
    }

    /// posthog-js sends the key as a property of each event, and sometimes nowhere else.
    fn nested_key<'a>(members: &Members<'a>) -> Option<Cow<'a, str>> {
        let properties = members.get(Field::Properties).filter(|value| has(Some(*value), "token"))?;
        let mut key = None;
        each_member(properties.raw, |member| {
            if key.is_none() && is_key(&member) {
                key = Some(key_text(&member));
            }
        })
        .ok()?;
        key
    }
}

impl PostHog {
    /// The instant so many milliseconds before the receipt. The offset is kept with the rest of the event.
    fn offset(&self, members: &Members<'_>) -> Option<Micros> {
        let offset = members.get(OFFSET).filter(|value| value.kind == Kind::Number)?;
        let whole = offset.raw.split('.').next()?;
        let millis: i64 = whole.parse().ok().filter(|millis| *millis >= 0)?;
        let instant = self.received_at.0.checked_sub(millis.checked_mul(1_000)?)?;
        time::within_range(instant)
    }
}

#[inline]
fn kind(name: &str) -> EventKind {
    match name {
        IDENTIFY => EventKind::Identify,
        "$pageview" => EventKind::Page,
        "$screen" => EventKind::Screen,
        "$groupidentify" => EventKind::Group,
        "$create_alias" => EventKind::Alias,
        _ => EventKind::Track,
    }
}

#[inline]
fn name<'a>(members: &mut Members<'a>, unnamed: &'static str) -> Result<Cow<'a, str>, Fault> {
    let name = members.take_text(Field::Event, "event", EVENT_NAME_BYTES_MAX, Digits::Refused)?;
    name.filter(|name| !name.is_empty())
        .or(Some(Cow::Borrowed(unnamed)))
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Fault::invalid("event", "event is missing: the name of what happened"))
}

/// `uuid`, or else `messageId`, which SDKs of other languages send.
#[inline]
fn id<'a>(members: &mut Members<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let uuid = super::id(members, Field::Id, "uuid", Digits::AsText)?.filter(|id| !id.is_empty());
    if uuid.is_some() {
        return Ok(uuid);
    }
    Ok(super::id(members, MESSAGE_ID, "messageId", Digits::AsText)?.filter(|id| !id.is_empty()))
}

#[inline]
fn user<'a>(members: &mut Members<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    members.take_text(Field::UserId, "distinct_id", EVENT_NAME_BYTES_MAX, Digits::AsText)
}

/// The user whom the properties name, as posthog-js has it. They keep it.
fn nested_user<'a>(properties: Option<Value<'a>>) -> Result<Cow<'a, str>, Fault> {
    let none = Ok(Cow::Borrowed(""));
    let Some(properties) = properties.filter(|value| has(Some(*value), "distinct_id")) else { return none };
    let mut user = None;
    let scanned = each_member(properties.raw, |member| {
        if member.key.name() == "distinct_id" {
            user = Some(member);
        }
    });
    let (Ok(()), Some(user)) = (scanned, user) else { return none };
    let text = match user.value.kind {
        Kind::String => user.value.unescaped().text,
        Kind::Number => Cow::Borrowed(user.value.raw),
        Kind::Object | Kind::Array | Kind::Bool | Kind::Null => return none,
    };
    if text.len() > EVENT_NAME_BYTES_MAX {
        let detail = format!("distinct_id is longer than {EVENT_NAME_BYTES_MAX} bytes");
        return Err(Fault::invalid("properties/distinct_id", detail));
    }
    Ok(text)
}

/// Whether an object may have a member of that name: most have not, and then need no second look.
#[inline]
fn has(object: Option<Value<'_>>, name: &str) -> bool {
    object.is_some_and(|object| {
        object.kind == Kind::Object && memmem::find(object.raw.as_bytes(), name.as_bytes()).is_some()
    })
}

fn is_key(member: &Member<'_>) -> bool {
    member.key.name() == "token"
        && member.value.kind == Kind::String
        && member.value.unescaped().text.starts_with(KEY_PREFIX)
}

fn key_text<'a>(member: &Member<'a>) -> Cow<'a, str> {
    member.value.unescaped().text
}

/// The properties without the API key, which is never stored.
fn without_key(properties: Cow<'_, str>) -> Cow<'_, str> {
    let (mut kept, mut has_key) = (String::with_capacity(properties.len()), false);
    let scanned = each_member(&properties, |member| {
        if is_key(&member) {
            has_key = true;
        } else {
            kept.push(if kept.is_empty() { '{' } else { ',' });
            kept.push_str(member.raw);
        }
    });
    if scanned.is_err() || !has_key {
        return properties;
    }
    kept.push_str(if kept.is_empty() { "{}" } else { "}" });
    Cow::Owned(kept)
}

/// Takes a time that can be read. One that can't be read is kept with the rest of the event.
#[inline]
fn take_instant(members: &mut Members<'_>) -> Option<Micros> {
    let instant = members.get(Field::Timestamp).and_then(time::lenient)?;
    members.take(Field::Timestamp);
    Some(instant)
}
