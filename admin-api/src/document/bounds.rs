//! What `accounts` holds the members of bodies to, as far as a schema can say it: by the members' names.

use accounts::key::OVERLAP_HOURS_MAX;
use accounts::plan::RETENTION_DAYS;
use accounts::tenant::SLUG_BYTES_MAX;
use accounts::{NAME_BYTES_MAX, RATE_MAX, REASON_BYTES_MAX};
use schemas::limit::{EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX};
use serde_json::{Value, json};

/// Keywords of the schema of a member of that name. Limits of texts are in bytes, of which a character has one or more.
fn of(name: &str) -> Option<Value> {
    let text = |least: usize, most: usize| json!({"minLength": least, "maxLength": most});
    Some(match name {
        // A key's may be empty.
        "name" => json!({"maxLength": NAME_BYTES_MAX}),
        "tenant_name" => text(1, NAME_BYTES_MAX),
        "slug" => text(1, SLUG_BYTES_MAX),
        "reason" => text(1, REASON_BYTES_MAX),
        "user_id" | "anonymous_id" => text(1, EVENT_NAME_BYTES_MAX),
        "event_id" => text(1, EVENT_ID_BYTES_MAX),
        "quota" => json!({"minimum": 0}),
        "rate" => json!({"minimum": 1, "maximum": RATE_MAX}),
        "retention_days" => json!({"minimum": RETENTION_DAYS.start(), "maximum": RETENTION_DAYS.end()}),
        "overlap_hours" => json!({"minimum": 0, "maximum": OVERLAP_HOURS_MAX}),
        _ => return None,
    })
}

/// Says the bounds of the members of a schema of what is taken, unless its type has said others.
pub(super) fn say(schema: &mut Value) {
    // Not by an index, which would make members where there are none.
    let Some(members) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, member) in members {
        let bounds = of(name).unwrap_or_default();
        for (keyword, bound) in bounds.as_object().into_iter().flatten() {
            if member[keyword].is_null() {
                member[keyword] = bound.clone();
            }
        }
    }
}
