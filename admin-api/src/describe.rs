//! What an operation takes and gives, read off the types of its handler: so none can be left out of the document, or
//! be described as something else than it is.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use utoipa::openapi::path::ParameterIn;
use utoipa::{IntoParams, ToSchema};

use crate::auth::{Again, InTenant, OnPlatform, PlatformPerson, Sender, Signed};
use crate::input::{Body, Paging, Parameters};
use crate::reply::{
    Contract, Gone, Holding, Html, Lines, Markdown, Redirect, Refused, Secret, Status, WithCookies,
};

/// A description under way.
#[derive(Default)]
pub(crate) struct Operation {
    /// Parameters of the query.
    pub(crate) parameters: Vec<Value>,
    /// The body that it takes.
    pub(crate) body: Option<Value>,
    /// Replies that are no problems, by their status.
    pub(crate) replies: BTreeMap<u16, Value>,
    /// Schemas that the body refers to.
    pub(crate) taken: BTreeMap<String, Value>,
    /// Schemas that the replies refer to.
    pub(crate) given: BTreeMap<String, Value>,
}

impl Operation {
    fn replies<T: ToSchema>(&mut self, status: u16, media_type: &str, description: &str) -> &mut Value {
        let schema = add::<T>(&mut self.given);
        self.replies_with(status, description, json!({media_type: {"schema": schema}}))
    }

    fn replies_with(&mut self, status: u16, description: &str, content: Value) -> &mut Value {
        let reply = self.replies.entry(status).or_insert_with(|| json!({"description": description}));
        if !content.is_null() {
            reply["content"] = content;
        }
        reply
    }
}

/// Adds the schema of `T` with all that it refers to, and returns a reference to it.
fn add<T: ToSchema>(to: &mut BTreeMap<String, Value>) -> Value {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    for (name, schema) in schemas {
        // A tree of JSON always serialises.
        to.insert(name, serde_json::to_value(schema).unwrap_or_default());
    }
    json!({"$ref": format!("#/components/schemas/{}", T::name())})
}

/// An argument or a result of a handler.
pub(crate) trait Describe {
    /// Adds what it means for the operation.
    fn describe(operation: &mut Operation);
}

macro_rules! nothing_to_say {
    ($($of:ty),+) => {$(
        impl Describe for $of {
            fn describe(_: &mut Operation) {}
        }
    )+};
}

// What the table of routes says already.
nothing_to_say!(Again, InTenant, OnPlatform, PlatformPerson, Sender, Signed, HeaderMap);

impl<S> Describe for State<S> {
    fn describe(_: &mut Operation) {}
}

impl<T> Describe for Path<T> {
    fn describe(_: &mut Operation) {}
}

impl<T: ToSchema> Describe for Body<T> {
    fn describe(operation: &mut Operation) {
        let schema = add::<T>(&mut operation.taken);
        let content = json!({"application/json": {"schema": schema}});
        operation.body = Some(json!({"required": true, "content": content}));
    }
}

impl<T: IntoParams> Describe for Parameters<T> {
    fn describe(operation: &mut Operation) {
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        operation.parameters.extend(parameters.iter().filter_map(|each| serde_json::to_value(each).ok()));
    }
}

impl Describe for Paging {
    fn describe(operation: &mut Operation) {
        operation.parameters.extend([json!({"name": "limit"}), json!({"name": "cursor"})]);
    }
}

impl<T: Describe> Describe for Result<T, Refused> {
    fn describe(operation: &mut Operation) {
        T::describe(operation);
    }
}

impl<T: ToSchema> Describe for Json<T> {
    fn describe(operation: &mut Operation) {
        operation.replies::<T>(200, "application/json", "What was asked for.");
    }
}

impl<const CODE: u16, T: ToSchema> Describe for Status<CODE, T> {
    fn describe(operation: &mut Operation) {
        let description = if CODE == 201 { "What was made." } else { "It is under way." };
        operation.replies::<T>(CODE, "application/json", description);
    }
}

impl<T: ToSchema> Describe for Secret<T> {
    fn describe(operation: &mut Operation) {
        let description = "What was made, with a secret that is shown this once.";
        operation.replies::<T>(201, "application/json", description);
    }
}

impl Describe for StatusCode {
    fn describe(operation: &mut Operation) {
        operation.replies_with(204, "Done.", Value::Null);
    }
}

impl<Of: Describe> Describe for Holding<Of> {
    fn describe(operation: &mut Operation) {
        Of::describe(operation);
    }
}

fn header(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

impl<T: ToSchema> Describe for WithCookies<T> {
    fn describe(operation: &mut Operation) {
        let reply = operation.replies::<T>(200, "application/json", "What was asked for, with cookies.");
        reply["headers"]["Set-Cookie"] = header("Set-Cookie");
    }
}

impl Describe for Gone {
    fn describe(operation: &mut Operation) {
        let reply = operation.replies_with(204, "Done; the cookie ends.", Value::Null);
        reply["headers"]["Set-Cookie"] = header("Set-Cookie");
    }
}

impl Describe for Redirect {
    fn describe(operation: &mut Operation) {
        let reply = operation.replies_with(303, "Where the browser goes on.", Value::Null);
        reply["headers"]["Location"] = header("Location");
        reply["headers"]["Set-Cookie"] = header("Set-Cookie");
    }
}

impl<T: ToSchema> Describe for Lines<T> {
    fn describe(operation: &mut Operation) {
        add::<T>(&mut operation.given);
        let description = format!("Lines, each a JSON document of the schema {}.", T::name());
        let content = json!({"application/x-ndjson": {"schema": {"type": "string"}}});
        operation.replies_with(200, &description, content);
    }
}

impl Describe for Contract {
    fn describe(operation: &mut Operation) {
        let schema = json!({"type": "object"});
        let content = json!({"application/json": {"schema": schema}});
        operation.replies_with(200, "An OpenAPI document.", content);
    }
}

impl Describe for Html {
    fn describe(operation: &mut Operation) {
        let content = json!({"text/html": {"schema": {"type": "string"}}});
        operation.replies_with(200, "A page.", content);
    }
}

impl Describe for Markdown {
    fn describe(operation: &mut Operation) {
        let content = json!({"text/markdown": {"schema": {"type": "string"}}});
        operation.replies_with(200, "A text.", content);
    }
}

/// A handler, with `T` as axum knows its arguments.
pub(crate) trait Described<T> {
    /// Describes what it takes and gives.
    fn describe(operation: &mut Operation);
}

impl<F, Answer> Described<((),)> for F
where
    F: FnOnce() -> Answer,
    Answer: Future,
    Answer::Output: Describe,
{
    fn describe(operation: &mut Operation) {
        Answer::Output::describe(operation);
    }
}

macro_rules! handlers {
    ($([$($argument:ident),+])+) => {$(
        impl<F, Answer, M, $($argument),+> Described<(M, $($argument),+,)> for F
        where
            F: FnOnce($($argument),+) -> Answer,
            Answer: Future,
            Answer::Output: Describe,
            $($argument: Describe),+
        {
            fn describe(operation: &mut Operation) {
                $($argument::describe(operation);)+
                Answer::Output::describe(operation);
            }
        }
    )+};
}

handlers! { [A] [A, B] [A, B, C] [A, B, C, D] [A, B, C, D, E] }
