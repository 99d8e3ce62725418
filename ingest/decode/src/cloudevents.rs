//! CloudEvents 1.0 in JSON, as OpenMeter's SDKs and others send them: <https://github.com/cloudevents/spec>.
//!
//! What the specification requires is required: meters are billed by these events, and an event without an id or
//! source could not be distinguished from another.

mod binary;

use std::borrow::Cow;
use std::fmt::Write;

use schemas::event::{EventFlags, EventKind};
use schemas::limit::{EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX};
use schemas::time::Micros;
use sha2::{Digest, Sha256};

use super::members::{Digits, Fault, Field, Members};
use super::scan::Kind;
use super::walk::{DialectParser, Shapes};
use super::{ATTRIBUTE_BYTES_MAX, Incoming, time};

pub use binary::{binary_cloudevent, is_binary_cloudevent};

/// Structured and batched mode.
#[derive(Debug)]
pub(super) struct CloudEvents;

// Attributes that this dialect alone has stand in places that it has no other use for.
const SOURCE: Field = Field::Name;
const SPEC_VERSION: Field = Field::Kind;
const DATA: Field = Field::Properties;

impl DialectParser for CloudEvents {
    const SHAPES: Shapes = Shapes { single: true, batch: false, list: true };

    #[inline]
    fn place(key: &str) -> Option<Field> {
        Some(match key {
            "id" => Field::Id,
            "source" => SOURCE,
            "specversion" => SPEC_VERSION,
            "type" => Field::Event,
            "subject" => Field::UserId,
            "time" => Field::Timestamp,
            "data" => DATA,
            _ => return None,
        })
    }

    /// `source` and `specversion` have no field of their own and are kept with the extensions.
    #[inline]
    fn event<'a>(&self, members: &mut Members<'a>) -> Result<Incoming<'a>, Fault> {
        check_version(members)?;
        Ok(Incoming {
            index: 0,
            kind: EventKind::Track,
            flags: EventFlags::default(),
            id: Some(Cow::Owned(id(members)?)),
            name: required(
                members.take_text(Field::Event, "type", EVENT_NAME_BYTES_MAX, Digits::Refused)?,
                "type",
            )?,
            user_id: members
                .take_text(Field::UserId, "subject", EVENT_NAME_BYTES_MAX, Digits::AsText)?
                .unwrap_or_default(),
            anonymous_id: Cow::Borrowed(""),
            timestamp: instant(members),
            sent_at: None,
            properties: data(members)?,
            context: Cow::Borrowed(""),
            extra: members.take_rest(),
        })
    }

    fn sent_at(&self, _: &mut Members<'_>) -> Result<Option<Micros>, Fault> {
        Ok(None)
    }
}

/// Later versions of 1 only add to it; of 0.3, data that is not JSON is kept as it was sent.
fn check_version(members: &Members<'_>) -> Result<(), Fault> {
    let Some(version) = members.get(SPEC_VERSION) else { return Ok(()) };
    let text = (version.kind == Kind::String).then(|| version.unescaped().text);
    if text.is_some_and(|text| text == "0.3" || text.starts_with("1.")) {
        return Ok(());
    }
    Err(Fault::invalid("specversion", "specversion must be 1.0 or 0.3"))
}

/// The id under which the event is stored: `<source> <id>`, since an id is unique only within its source, and no
/// URI reference holds a space. Where that would be too long, or the source holds a space after all: `sha256:` and
/// the digest of the source's length in bytes, a colon, the source and the id; `extra` then keeps the id itself.
fn id(members: &mut Members<'_>) -> Result<String, Fault> {
    let source = attribute(members, SOURCE, "source")?;
    let id = attribute(members, Field::Id, "id")?;
    if source.len() + 1 + id.len() <= EVENT_ID_BYTES_MAX && !source.contains(' ') {
        members.take(Field::Id);
        return Ok(format!("{source} {id}"));
    }
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(format!("{}:{source}{id}", source.len())) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

/// A part of the identity: a text that stays distinct from every other once it is stored.
fn attribute<'a>(members: &Members<'a>, field: Field, member: &'static str) -> Result<Cow<'a, str>, Fault> {
    let Some(value) = members.get(field) else { return required(None, member) };
    if value.kind != Kind::String {
        return Err(Fault::invalid(member, format!("{member} must be a string")));
    }
    let unescaped = value.unescaped();
    if unescaped.lossy {
        return Err(Fault::invalid(member, format!("{member} holds NUL or half of a surrogate pair")));
    }
    if unescaped.text.len() > ATTRIBUTE_BYTES_MAX {
        let detail = format!("{member} is longer than {ATTRIBUTE_BYTES_MAX} bytes");
        return Err(Fault::invalid(member, detail));
    }
    required(Some(unescaped.text), member)
}

fn required<'a>(text: Option<Cow<'a, str>>, member: &'static str) -> Result<Cow<'a, str>, Fault> {
    let text = text.filter(|text| !text.is_empty());
    text.ok_or_else(|| Fault::invalid(member, format!("{member} is missing: CloudEvents requires it")))
}

/// A time that can't be read counts as absent and is kept with the extensions.
fn instant(members: &mut Members<'_>) -> Option<Micros> {
    let instant = members.get(Field::Timestamp).and_then(time::lenient)?;
    members.take(Field::Timestamp);
    Some(instant)
}

/// An object becomes the properties; other data is kept with the extensions.
fn data<'a>(members: &mut Members<'a>) -> Result<Cow<'a, str>, Fault> {
    if members.get(DATA).is_some_and(|data| data.kind != Kind::Object) {
        return Ok(Cow::Borrowed(""));
    }
    members.take_object(DATA, "data")
}
