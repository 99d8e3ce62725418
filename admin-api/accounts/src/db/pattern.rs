//! Texts by their beginning.
//!
//! As a range of bytes: `column ~>=~ from AND column ~<~ to` reads an index with `text_pattern_ops`, also behind row
//! policies, which LIKE does not.

/// From where to where the texts stand that begin with `text`.
pub(crate) fn beginning(text: &str) -> (String, String) {
    (text.to_owned(), format!("{text}\u{10ffff}"))
}
