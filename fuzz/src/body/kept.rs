//! Nothing that a client sent is lost: weir's own dialect against `serde_json`'s reading of the same body.

use decode::{Batch, Incoming};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::Object;

/// Members that have fields of their own in an event.
const FIELDS: [&str; 8] =
    ["id", "event", "type", "user_id", "anonymous_id", "timestamp", "properties", "context"];

/// Holds each accepted event of a bare array or a single object against its element, unless it holds what
/// `serde_json` can't read.
///
/// # Panics
/// Where a member is lost, changed or made up.
pub(super) fn native(batch: Option<&Batch<'_>>, body: &[u8]) {
    let Some(batch) = batch else { return };
    let Ok(text) = str::from_utf8(body) else { return };
    let elements = match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(elements) => elements.iter().map(|element| element.get()).collect(),
        Err(_) if Object::read(text).is_some_and(|object| object.last("batch").is_none()) => vec![text],
        Err(_) => return,
    };
    for event in &batch.events {
        let element = elements[usize::try_from(event.index).expect("an index")];
        // Numbers beyond a double and halves of surrogate pairs are kept in another form.
        if serde_json::from_str::<Value>(element).is_ok() {
            same(event, &Object::read(element).expect("an event is an object"));
        }
    }
}

fn same(event: &Incoming<'_>, sent: &Object<'_>) {
    let last = |name| sent.last(name).filter(|raw| *raw != "null");
    assert_eq!(
        event.properties,
        last("properties").unwrap_or_default(),
        "properties are kept as they were sent"
    );
    assert_eq!(event.context, last("context").unwrap_or_default(), "the context is kept as it was sent");
    for (name, kept) in
        [("event", &event.name), ("user_id", &event.user_id), ("anonymous_id", &event.anonymous_id)]
    {
        let sent = last(name).map(text).unwrap_or_default();
        assert_eq!(*kept, sent, "{name}");
    }
    assert_eq!(event.id.as_deref(), last("id").map(text).as_deref(), "id");
    assert_eq!(event.kind.as_str(), last("type").map_or("track".into(), text), "type");
    assert_eq!(event.timestamp.is_some(), last("timestamp").is_some(), "timestamp");
    // All else, and of two members for one field the earlier, stands in `extra`.
    let mut rest: Vec<_> = sent.0.iter().map(|(key, value)| (key.clone(), value.get())).collect();
    for name in FIELDS {
        if let Some(place) = rest.iter().rposition(|(key, _)| key == name) {
            rest.remove(place);
        }
    }
    // `null` in the place of `sent_at`, which has no field of its own, stands for an absent member.
    if let Some(place) = rest.iter().rposition(|(key, _)| key == "sent_at").filter(|at| rest[*at].1 == "null")
    {
        rest.remove(place);
    }
    let extra =
        if event.extra.is_empty() { Vec::new() } else { Object::read(&event.extra).expect("an object").0 };
    let mut extra: Vec<_> = extra.into_iter().map(|(key, value)| (key, value.get())).collect();
    extra.sort_unstable();
    rest.sort_unstable();
    assert_eq!(extra, rest, "every other member is kept as it was sent");
}

/// A string's text, with U+FFFD for NUL, or a number's digits.
fn text(raw: &str) -> String {
    serde_json::from_str::<String>(raw).map_or_else(|_| raw.to_owned(), |text| text.replace('\0', "\u{fffd}"))
}
