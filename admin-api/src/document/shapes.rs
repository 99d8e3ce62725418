//! What utoipa makes of types, made to say what the JSON is.

use serde_json::{Map, Value};

use super::bounds;
use super::components::reference;

/// All schemas: of what is taken, and of what is given.
pub(super) fn all(taken: Map<String, Value>, given: Map<String, Value>) -> Map<String, Value> {
    let mut all = taken;
    all.values_mut().for_each(bounds::say);
    for (name, mut schema) in given {
        say_required(&mut schema);
        all.insert(name, schema);
    }
    all.values_mut().for_each(say_null);
    all
}

/// In a reply, what may be `null` is always there.
fn say_required(schema: &mut Value) {
    match schema {
        Value::Object(members) => members.values_mut().for_each(say_required),
        Value::Array(values) => values.iter_mut().for_each(say_required),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    let there: Vec<&String> =
        properties.iter().filter(|(_, of)| may_be_null(of)).map(|(name, _)| name).collect();
    let mut required: Vec<Value> = there.into_iter().map(|name| name.as_str().into()).collect();
    required.extend(schema["required"].as_array().into_iter().flatten().cloned());
    required.sort_by_key(ToString::to_string);
    required.dedup();
    if !required.is_empty() {
        schema["required"] = required.into();
    }
}

fn may_be_null(schema: &Value) -> bool {
    let is_null = |kind: &Value| kind == "null";
    let types = schema["type"].as_array().into_iter().flatten();
    let either = schema["oneOf"].as_array().into_iter().flatten().map(|of| &of["type"]);
    types.chain(either).any(is_null)
}

/// Comments of the code speak of `None`, and link to names.
fn say_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(said)) = members.get_mut("description") {
                *said = said.replace("`None`", "`null`").replace("[`", "`").replace("`]", "`");
            }
            members.values_mut().for_each(say_null);
        }
        Value::Array(values) => values.iter_mut().for_each(say_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A parameter of the query: those of lists are shared, and none can be `null`.
pub(super) fn of_query(mut parameter: Value) -> Value {
    if let Some(name) = parameter["name"].as_str().filter(|name| ["limit", "cursor"].contains(name)) {
        return reference("parameters", name);
    }
    say_null(&mut parameter);
    let schema = &mut parameter["schema"];
    if let Some(types) = schema["type"].as_array_mut() {
        types.retain(|kind| kind != "null");
        schema["type"] = types.first().cloned().unwrap_or_default();
    }
    if let Some(either) = schema["oneOf"].as_array() {
        *schema = either.iter().find(|of| of["type"] != "null").cloned().unwrap_or_default();
    }
    parameter
}
