//! Schemas, for the OpenAPI document, of types that JSON has as a text.

use utoipa::openapi::schema::{Schema, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};

/// A text that matches `pattern`, a regular expression of ECMA 262.
#[must_use]
pub(crate) fn text(pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
}

/// One of some words.
#[must_use]
pub(crate) fn word<'a>(words: impl IntoIterator<Item = &'a str>) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).into()
}

/// Describes a type by an expression that gives its schema.
macro_rules! described {
    ($name:ty, $schema:expr) => {
        impl ::utoipa::PartialSchema for $name {
            fn schema() -> ::utoipa::openapi::RefOr<::utoipa::openapi::schema::Schema> {
                $schema
            }
        }

        impl ::utoipa::ToSchema for $name {}
    };
}

pub(crate) use described;
