//! Every reply of the admin API that a test gets is held to its OpenAPI document: status, content type and body.

use std::sync::LazyLock;

use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method};
use regex_automata::meta::Regex;
use serde_json::Value;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| admin_api::document::document(None));

/// What says something of a schema, and nothing of a value.
const SILENT: [&str; 5] = ["description", "default", "example", "minimum", "title"];

/// # Panics
/// If the document knows no such reply, or if a path of the admin API that it does not know is answered by anything but
/// 404, or 405 for another method.
pub(crate) fn check(method: &Method, path: &str, status: u16, headers: &HeaderMap, body: &[u8]) {
    let path = path.split('?').next().unwrap_or_default();
    let Some(operation) = operation(method, path) else {
        let is_unknown = matches!(status, 404 | 405);
        assert!(is_unknown || !is_of_admin_api(path), "the document knows no {method} {path}: {status}");
        return;
    };
    let what = format!("{method} {path} answered {status} {}", String::from_utf8_lossy(body));
    let described = &operation["responses"][status.to_string()];
    assert!(described.is_object(), "the document knows no such status: {what}");
    let content = &resolved(described)["content"];
    let Some(contents) = content.as_object() else {
        assert!(body.is_empty(), "the document knows no such body: {what}");
        return;
    };
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap()).unwrap_or_default();
    let (_, content) = contents.iter().find(|(of, _)| media_type.starts_with(of.as_str())).expect(&what);
    if media_type.ends_with("json") && !media_type.ends_with("ndjson") {
        let value = serde_json::from_slice(body).expect(&what);
        if let Err(why) = fits(&value, &content["schema"], "", Known::All) {
            panic!("{why}: {what}");
        }
    }
}

/// Whether paths of the admin API begin like this one: other listeners have others.
fn is_of_admin_api(path: &str) -> bool {
    let begin = |path: &str| path.split('/').take(3).map(str::to_owned).collect::<Vec<_>>();
    DOCUMENT["paths"].as_object().unwrap().keys().any(|known| begin(known) == begin(path))
}

/// The operation whose path that is: one without a name counts more.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let is = |template: &str| {
        let (parts, of) = (path.split('/'), template.split('/'));
        parts.clone().count() == of.clone().count()
            && parts.zip(of).all(|(part, of)| of == part || of.starts_with('{') && !part.is_empty())
    };
    let mut paths: Vec<_> =
        DOCUMENT["paths"].as_object()?.iter().filter(|(template, _)| is(template)).collect();
    paths.sort_by_key(|(template, _)| template.matches('{').count());
    let operation = &paths.first()?.1[method.as_str().to_lowercase()];
    operation.is_object().then_some(operation)
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// Whether a schema knows all members of an object. Of what is put together out of several schemas, none does.
#[derive(Clone, Copy)]
enum Known {
    All,
    Some,
}

/// Whether the value at `place` is what the schema says. A keyword that is not known here is a failure.
fn fits(value: &Value, schema: &'static Value, place: &str, known: Known) -> Result<(), String> {
    let wrong = |why: &dyn std::fmt::Debug| Err(format!("{place} is {value}, not {why:?}"));
    for (keyword, says) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "$ref" => return fits(value, resolved(schema), place, known),
            "type" => match says.as_array() {
                Some(types) => types.iter().any(|of| is_of(value, of)),
                None => is_of(value, says),
            },
            "enum" => says.as_array().unwrap().contains(value),
            "const" => says == value,
            "format" => value.as_str().is_none_or(|text| is_form(text, says.as_str().unwrap())),
            "pattern" => {
                let pattern = Regex::new(says.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| pattern.is_match(text))
            }
            "required" => {
                let names = says.as_array().unwrap();
                let there = |name: &Value| value.get(name.as_str().unwrap()).is_some();
                !value.is_object() || names.iter().all(there)
            }
            "properties" => {
                for (name, of) in says.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        fits(value, of, &format!("{place}/{name}"), Known::All)?;
                    }
                }
                true
            }
            "items" => {
                for (index, value) in value.as_array().into_iter().flatten().enumerate() {
                    fits(value, says, &format!("{place}/{index}"), Known::All)?;
                }
                true
            }
            "allOf" => {
                for part in says.as_array().unwrap() {
                    fits(value, part, place, Known::Some)?;
                }
                true
            }
            "oneOf" => {
                let parts = says.as_array().unwrap();
                parts.iter().filter(|part| fits(value, part, place, known).is_ok()).count() == 1
            }
            silent if SILENT.contains(&silent) => true,
            unknown => return wrong(&format!("looked at: {unknown} is not known here")),
        };
        if !good {
            return wrong(&format!("{keyword} {says}"));
        }
    }
    match known {
        Known::All => closed(value, schema, place),
        Known::Some => Ok(()),
    }
}

/// What the code gives and the document does not know is a failure, too.
fn closed(value: &Value, schema: &Value, place: &str) -> Result<(), String> {
    let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) else {
        return Ok(());
    };
    match members.keys().find(|name| !known.contains_key(*name)) {
        Some(name) => Err(format!("{place}/{name} is not in the document")),
        None => Ok(()),
    }
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        unknown => panic!("{unknown} is no type that replies have"),
    }
}

fn is_form(text: &str, form: &str) -> bool {
    match form {
        "date-time" => text.len() >= 20 && text.ends_with('Z') && text.as_bytes()[10] == b'T',
        "uuid" => text.parse::<uuid::Uuid>().is_ok(),
        unknown => panic!("{unknown} is no form that replies have"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answered(method: Method, path: &str, status: u16, body: &Value) -> bool {
        let kind = if status < 400 { "application/json" } else { "application/problem+json" };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        let body = body.to_string();
        std::panic::catch_unwind(|| check(&method, path, status, &headers, body.as_bytes())).is_ok()
    }

    #[test]
    fn a_reply_that_the_document_does_not_know_is_found() {
        let path = "/v1/tenants/me/projects?limit=1";
        let of = |id: &str, created_at: &str| {
            let created_at = Value::from(created_at);
            json!({"id": id, "name": "p", "created_at": created_at, "archived_at": null})
        };
        let good = of("prj_0000000000000000000001", "2026-11-05T09:30:00Z");
        let page = |item: &Value| json!({"items": [item], "next_cursor": null});
        assert!(answered(Method::GET, path, 200, &page(&good)));
        assert!(!answered(Method::GET, path, 201, &page(&good)), "another status");
        assert!(!answered(Method::GET, path, 200, &json!({"items": []})), "without a member");
        for wrong in [of("prj_1", "2026-11-05T09:30:00Z"), of("prj_0000000000000000000001", "yesterday")] {
            assert!(!answered(Method::GET, path, 200, &page(&wrong)), "{wrong}");
        }
        let unknown = "/v1/tenants/me/nonesuch";
        assert!(!answered(Method::GET, unknown, 200, &json!({})), "a path that is not in the document");
        assert!(
            answered(Method::GET, unknown, 404, &json!({}))
                && answered(Method::POST, "/v1/batch", 202, &json!({}))
        );
        let mut more = good.clone();
        more["number"] = json!(1);
        assert!(!answered(Method::GET, path, 200, &page(&more)), "a member more");
        let problem = |code: &str| {
            json!({
                "type": "t", "title": "t", "status": 404, "detail": "d", "message": "d", "code": code,
                "request_id": "r",
            })
        };
        assert!(answered(Method::GET, path, 404, &problem("not_found")));
        assert!(!answered(Method::GET, path, 404, &problem("conflict")), "a code of another status");
    }
}
