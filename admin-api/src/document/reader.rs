//! The document as a page for people: HTML without a script, so it works offline and under the strictest policy.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The page's one style, which its policy knows by its hash.
const STYLE: &str = include_str!("reader.css");

/// Nothing but the style may be loaded, nothing may run, and nobody may put the page into another.
pub(super) fn policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// A page under way. Texts are escaped, whatever they say.
struct Page<'d> {
    html: String,
    document: &'d Value,
}

pub(super) fn page(document: &Value) -> String {
    let mut page = Page { html: String::new(), document };
    page.head();
    for tag in list(&document["tags"]) {
        page.group(text(&tag["name"]), text(&tag["description"]));
    }
    page.html.push_str("<h2>Schemas</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        page.add(format_args!("<section id=\"schema.{0}\"><h3>{0}</h3>", Escaped(name)));
        page.schema(schema);
        page.html.push_str("</section>");
    }
    page.html.push_str("</main></html>\n");
    page.html
}

impl Page<'_> {
    fn add(&mut self, html: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.html.write_fmt(html);
    }

    fn head(&mut self) {
        let info = &self.document["info"];
        let (title, said) = (Escaped(text(&info["title"])), Escaped(text(&info["description"])));
        self.add(format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><nav>"
        ));
        for tag in list(&self.document["tags"]) {
            self.add(format_args!("<a href=\"#{0}\">{0}</a>", Escaped(text(&tag["name"]))));
        }
        self.add(format_args!(
            "</nav><main><h1>{title}</h1><p>{said} <a href=\"/v1/openapi.json\">openapi.json</a></p>"
        ));
    }

    /// All operations of a tag.
    fn group(&mut self, tag: &str, said: &str) {
        self.add(format_args!("<h2 id=\"{0}\">{0}</h2><p>{1}</p>", Escaped(tag), Escaped(said)));
        let document = self.document;
        for (path, operations) in members(&document["paths"]) {
            for (method, operation) in members(operations).filter(|(_, of)| of["tags"][0] == tag) {
                self.operation(path, method, operation);
            }
        }
    }

    fn operation(&mut self, path: &str, method: &str, operation: &Value) {
        self.add(format_args!(
            "<details id=\"{}\"><summary><b>{}</b> <code>{}</code> {}</summary><p>Who may call it: <code>{}</code>",
            Escaped(text(&operation["operationId"])),
            Escaped(&method.to_ascii_uppercase()),
            Escaped(path),
            Escaped(text(&operation["summary"])),
            Escaped(text(&operation["x-permission"])),
        ));
        let listeners: Vec<&str> = list(&operation["x-listeners"]).map(text).collect();
        self.add(format_args!(", on the listener of {}.</p>", Escaped(&listeners.join(" and of "))));
        self.html.push_str("<table>");
        for parameter in list(&operation["parameters"]) {
            let of = self.resolved(parameter);
            let is_needed = if of["required"] == true { ", required" } else { "" };
            self.add(format_args!(
                "<tr><td><code>{}</code><td>{}{is_needed}<td>",
                Escaped(text(&of["name"])),
                Escaped(text(&of["in"]))
            ));
            self.kind(&of["schema"]);
            self.add(format_args!("<td>{}", Escaped(text(&of["description"]))));
        }
        self.html.push_str("</table>");
        let body = &operation["requestBody"]["content"]["application/json"];
        if body.is_object() {
            self.html.push_str("<p>Body: ");
            self.kind(&body["schema"]);
            self.add(format_args!(", as in</p><pre>{}</pre>", Escaped(&pretty(&body["example"]))));
        }
        self.html.push_str("<table>");
        for (status, reply) in members(&operation["responses"]) {
            self.reply(status, reply);
        }
        self.html.push_str("</table></details>");
    }

    fn reply(&mut self, status: &str, reply: &Value) {
        let reply = self.resolved(reply);
        self.add(format_args!("<tr><td>{}<td>{}<td>", Escaped(status), Escaped(text(&reply["description"]))));
        for (media_type, content) in members(&reply["content"]) {
            match media_type == "application/problem+json" {
                true => self.html.push_str("<a href=\"#schema.Problem\">Problem</a>"),
                false => self.kind(&content["schema"]),
            }
        }
    }

    /// What stands behind a reference, or the value itself.
    fn resolved<'v>(&'v self, value: &'v Value) -> Value {
        let pointer = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.document.pointer(pointer)).unwrap_or(value).clone()
    }

    /// The members of a schema, or what kind of value it is.
    fn schema(&mut self, schema: &Value) {
        if let Some(said) = schema["description"].as_str() {
            self.add(format_args!("<p>{}</p>", Escaped(said)));
        }
        if !schema["properties"].is_object() {
            return self.kind(schema);
        }
        self.html.push_str("<table>");
        for (name, of) in members(&schema["properties"]) {
            let is_needed = list(&schema["required"]).any(|needed| needed == name);
            let mark = if is_needed { "" } else { "?" };
            self.add(format_args!("<tr><td><code>{}{mark}</code><td>", Escaped(name)));
            self.kind(of);
            self.add(format_args!("<td>{}", Escaped(text(&of["description"]))));
        }
        self.html.push_str("</table>");
    }

    /// A line that says what kind of value it is.
    fn kind(&mut self, schema: &Value) {
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
            return self.add(format_args!("<a href=\"#schema.{0}\">{0}</a>", Escaped(name)));
        }
        for (of, word) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
            for (place, part) in list(&schema[of]).enumerate() {
                self.html.push_str(if place == 0 { "" } else { word });
                match part["properties"].is_object() {
                    true => self.schema(part),
                    false => self.kind(part),
                }
            }
        }
        if schema["items"].is_object() {
            self.html.push_str("list of ");
            return self.kind(&schema["items"]);
        }
        let types = list(&schema["type"]).chain([&schema["type"]]).filter_map(Value::as_str);
        let words = list(&schema["enum"]).filter_map(Value::as_str);
        let all: Vec<&str> = match schema["enum"].is_array() {
            true => words.collect(),
            false => types.chain(schema["format"].as_str()).collect(),
        };
        self.add(format_args!("{}", Escaped(&all.join(", "))));
    }
}

/// A text as HTML.
struct Escaped<'t>(&'t str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                _ => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_each_operation_and_schema_and_runs_and_loads_nothing() {
        let document = super::super::document(None);
        let html = page(&document);
        for (_, operations) in members(&document["paths"]) {
            for (_, operation) in members(operations) {
                let id = operation["operationId"].as_str().unwrap();
                assert_eq!(html.matches(&format!("<details id=\"{id}\">")).count(), 1, "{id}");
            }
        }
        for link in html.split("href=\"#").skip(1) {
            let (place, _) = link.split_once('"').unwrap();
            assert!(html.contains(&format!("id=\"{place}\"")), "{place}");
        }
        for part in ["<script", "javascript:", " onclick", "src=", "http://", "https://", "style=", "@import"]
        {
            assert!(!html.contains(part), "{part}");
        }
    }

    #[test]
    fn what_a_text_says_is_no_html() {
        let document = serde_json::json!({"info": {"title": "<b>\"&"}});
        assert!(page(&document).contains("<h1>&lt;b&gt;&quot;&amp;</h1>"));
    }

    #[test]
    fn the_policy_knows_the_style_and_nothing_else() {
        assert!(policy().starts_with("default-src 'none'; style-src 'sha256-"));
        assert!(!policy().contains("unsafe") && !policy().contains("http"));
    }
}
