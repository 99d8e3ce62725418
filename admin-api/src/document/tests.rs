use std::collections::BTreeSet;

use super::*;
use crate::routes::routes;

#[test]
fn the_committed_document_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == text(),
        "docs/openapi.json is out of date: `weir openapi >docs/openapi.json` renews it"
    );
}

/// What the operations of a document are called, with who may call them.
fn operations(document: &Value) -> BTreeSet<(String, String, String, String)> {
    let mut found = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let text = |name: &str| operation[name].as_str().unwrap().to_owned();
            found.insert((method.clone(), path.clone(), text("operationId"), text("x-permission")));
        }
    }
    found
}

#[test]
fn table_and_document_name_the_same_operations_on_each_listener() {
    for listener in [Some(Listener::Tenants), Some(Listener::Operators), None] {
        let here =
            routes().into_iter().filter(|route| listener.is_none_or(|of| route.listeners.contains(&of)));
        let here = here.map(|route| {
            let permission = permission(route.access).as_str().unwrap().to_owned();
            (route.method.as_str().to_lowercase(), route.path.to_owned(), route.id, permission)
        });
        assert_eq!(operations(&document(listener)), here.collect(), "{listener:?}");
    }
}

#[test]
fn each_operation_says_what_it_answers_and_has_a_tag_that_is_explained() {
    let document = document(None);
    let tags: Vec<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    for operation in
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap())
    {
        let (_, operation) = operation;
        let replies = operation["responses"].as_object().unwrap();
        assert!(replies.keys().any(|status| status < &"304".to_owned()), "{operation}");
        assert!(replies.contains_key("429"), "{operation}");
        for parameter in operation["parameters"].as_array().unwrap() {
            let is_said = parameter["description"].is_string() || parameter["$ref"].is_string();
            assert!(is_said, "{} says nothing of {}", operation["operationId"], parameter["name"]);
        }
        assert!(tags.contains(&operation["tags"][0].as_str().unwrap()), "document/tags.rs: {operation}");
    }
}

fn walk<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get(name));
            members.values().for_each(|value| walk(value, name, found));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, name, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn each_reference_leads_somewhere_and_no_comment_of_the_code_shines_through() {
    for listener in [Some(Listener::Tenants), Some(Listener::Operators), None] {
        let document = document(listener);
        let mut found = Vec::new();
        walk(&document, "$ref", &mut found);
        assert!(found.len() > 100);
        for reference in found {
            let pointer = reference.as_str().unwrap().trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut found = Vec::new();
        walk(&document, "description", &mut found);
        for said in found.into_iter().filter_map(Value::as_str) {
            assert!(!said.contains("`None`") && !said.contains("[`"), "{said}");
        }
    }
}

#[test]
fn a_name_stands_for_one_schema_and_what_is_taken_is_not_given() {
    let (mut taken, mut given) = (Map::new(), Map::new());
    for (route, operation) in described() {
        let both = [(operation.taken, &mut taken), (operation.given, &mut given)];
        for (schemas, all) in both {
            for (name, schema) in schemas {
                let before = all.insert(name.clone(), schema.clone());
                assert!(before.is_none_or(|before| before == schema), "{name} of {}", route.id);
            }
        }
    }
    for (name, schema) in &taken {
        let is_object = schema["properties"].is_object();
        assert!(!is_object || !given.contains_key(name), "{name} is taken and given");
    }
}
