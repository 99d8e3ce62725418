//! Pages of lists. A page goes on behind the last item of the page before it, not at a count of items: what is made or
//! deleted meanwhile repeats no item and hides none.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::error::AccountError;

/// Items in a page for which no limit is named.
pub const LIMIT: i64 = 50;
/// Items in a page at most.
pub const LIMIT_MAX: i64 = 200;

/// What stands in a list, in an order that never changes.
pub trait Listed {
    /// The list's name: a cursor of another list is refused.
    const LIST: &'static str;
    /// What the list is ordered by: no two items have the same.
    type Key: Serialize + DeserializeOwned;

    /// The item's own.
    fn key(&self) -> Self::Key;
}

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    limit: i64,
    cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// What the next page is asked for with; `None`: there is none.
    pub next_cursor: Option<String>,
}

impl<T: ToSchema> PartialSchema for Page<T> {
    fn schema() -> RefOr<Schema> {
        let item = Ref::from_schema_name(T::name());
        let cursor = SchemaType::from_iter([Type::String, Type::Null]);
        let said = "What the next page is asked for with; `null`: there is none.";
        let cursor = ObjectBuilder::new().schema_type(cursor).description(Some(said));
        let page = ObjectBuilder::new().property("items", ArrayBuilder::new().items(item));
        page.required("items").property("next_cursor", cursor).required("next_cursor").into()
    }
}

impl<T: ToSchema> ToSchema for Page<T> {
    fn name() -> Cow<'static, str> {
        format!("PageOf{}", T::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T> Page<T> {
    /// The same page of other items.
    #[must_use]
    pub fn map<U>(self, of: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(of).collect(), next_cursor: self.next_cursor }
    }
}

/// What a cursor holds. Clients take it for a text without meaning.
#[derive(Serialize, Deserialize)]
struct Cursor<L, K>(L, K);

impl Default for PageRequest {
    /// The first page.
    fn default() -> Self {
        Self { limit: LIMIT, cursor: None }
    }
}

impl PageRequest {
    /// The page of `limit` items that `cursor` stands for; without it the first.
    ///
    /// # Errors
    /// [`AccountError::InvalidAt`] for a limit that is not from 1 to [`LIMIT_MAX`].
    pub fn new(limit: Option<i64>, cursor: Option<String>) -> Result<Self, AccountError> {
        let limit = limit.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) {
            return Ok(Self { limit, cursor });
        }
        Err(AccountError::parameter("limit", format!("limit is a number from 1 to {LIMIT_MAX}")))
    }

    /// How many rows to read: one more than a page has shows whether there is another page.
    #[must_use]
    pub fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// Behind which item the page begins.
    ///
    /// # Errors
    /// [`AccountError::InvalidAt`] for a cursor that no page of this list has named.
    pub fn after<T: Listed>(&self) -> Result<Option<T::Key>, AccountError> {
        let Some(text) = &self.cursor else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let value = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).filter(is_stored);
        let cursor = value.and_then(|value| serde_json::from_value::<Cursor<String, T::Key>>(value).ok());
        match cursor {
            Some(Cursor(list, key)) if list == T::LIST => Ok(Some(key)),
            _ => {
                let rule = "cursor is what the last page of this list says as `next_cursor`";
                Err(AccountError::parameter("cursor", rule))
            }
        }
    }

    /// The page, out of [`Self::rows`] rows at most.
    #[must_use]
    pub fn page<T: Listed>(&self, mut items: Vec<T>) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let is_more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| is_more);
        let cursor = last.and_then(|last| serde_json::to_vec(&Cursor(T::LIST, last.key())).ok());
        Page { items, next_cursor: cursor.map(|bytes| URL_SAFE_NO_PAD.encode(bytes)) }
    }
}

/// Whether what a cursor holds may be compared with what is stored: no text has the character U+0000, and no time lies
/// where Postgres has none.
fn is_stored(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => {
            let at = text.parse::<DateTime<Utc>>();
            !text.contains('\0') && at.map_or(true, |at| (1970..2200).contains(&at.year()))
        }
        Value::Array(values) => values.iter().all(is_stored),
        Value::Object(members) => members.values().all(is_stored),
    }
}

/// A whole list, page by page: for callers on this machine.
///
/// # Errors
/// What reading a page fails with.
pub async fn every<T>(
    mut read: impl AsyncFnMut(&PageRequest) -> Result<Page<T>, AccountError>,
) -> Result<Vec<T>, AccountError> {
    let mut asked = PageRequest { limit: LIMIT_MAX, cursor: None };
    let mut all = Vec::new();
    loop {
        let page = read(&asked).await?;
        all.extend(page.items);
        let Some(cursor) = page.next_cursor else { return Ok(all) };
        asked.cursor = Some(cursor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Item(i64);

    impl Listed for Item {
        const LIST: &'static str = "items";
        type Key = i64;

        fn key(&self) -> i64 {
            self.0
        }
    }

    struct Other;

    impl Listed for Other {
        const LIST: &'static str = "others";
        type Key = i64;

        fn key(&self) -> i64 {
            0
        }
    }

    struct Dated;

    impl Listed for Dated {
        const LIST: &'static str = "dated";
        type Key = (DateTime<Utc>, String);

        fn key(&self) -> Self::Key {
            (DateTime::UNIX_EPOCH, String::new())
        }
    }

    #[test]
    fn a_cursor_that_no_row_can_have_is_refused() {
        for (at, text, is_good) in [
            ("2026-11-30T12:00:00Z", "a", true),
            ("1970-01-01T00:00:00Z", "a", true),
            ("1969-12-31T23:59:59Z", "a", false),
            ("2200-01-01T00:00:00Z", "a", false),
            ("-9999-01-01T00:00:00Z", "a", false),
            ("+262142-01-01T00:00:00Z", "a", false),
            ("2026-11-30T12:00:00Z", "a\0", false),
        ] {
            let cursor = serde_json::to_vec(&serde_json::json!(["dated", [at, text]])).unwrap();
            let asked = PageRequest::new(None, Some(URL_SAFE_NO_PAD.encode(cursor))).unwrap();
            assert_eq!(asked.after::<Dated>().is_ok(), is_good, "{at} {text:?}");
        }
    }

    /// As a table answers: items behind the key, in their order.
    fn read(table: &[i64], asked: &PageRequest) -> Page<Item> {
        let after = asked.after::<Item>().unwrap().unwrap_or(i64::MIN);
        let rows = usize::try_from(asked.rows()).unwrap();
        let found = table.iter().filter(|number| **number > after).take(rows);
        asked.page(found.map(|number| Item(*number)).collect())
    }

    #[test]
    fn limits_hold_at_their_ends_and_not_beyond() {
        for (limit, good) in [
            (None, true),
            (Some(1), true),
            (Some(200), true),
            (Some(0), false),
            (Some(201), false),
            (Some(-1), false),
        ] {
            assert_eq!(PageRequest::new(limit, None).is_ok(), good, "{limit:?}");
        }
    }

    #[test]
    fn what_is_made_or_deleted_between_pages_repeats_no_item_and_hides_none() {
        let mut table: Vec<i64> = (0..100).map(|number| number * 10).collect();
        let mut asked = PageRequest::new(Some(7), None).unwrap();
        let mut seen = Vec::new();
        loop {
            let page = read(&table, &asked);
            seen.extend(page.items.iter().map(|item| item.0));
            let Some(cursor) = page.next_cursor else { break };
            // One behind us and one ahead, and the item that the cursor stands for is gone.
            let last = *seen.last().unwrap();
            table.retain(|number| *number != last);
            table.extend([last - 5, last + 3]);
            table.sort_unstable();
            asked = PageRequest::new(Some(7), Some(cursor)).unwrap();
        }
        assert!(seen.is_sorted() && seen.windows(2).all(|pair| pair[0] != pair[1]));
        assert!((0..100).all(|number| seen.contains(&(number * 10))));
    }

    #[test]
    fn a_page_that_is_just_full_is_the_last() {
        let of = |limit| read(&[1, 2, 3], &PageRequest::new(Some(limit), None).unwrap());
        assert_eq!(of(3).next_cursor, None);
        assert_eq!(of(4).next_cursor, None);
        assert_eq!(of(2).items, [Item(1), Item(2)]);
        assert!(of(2).next_cursor.is_some());
    }

    #[test]
    fn a_cursor_of_another_list_or_of_nobody_is_refused() {
        let cursor = read(&[1, 2], &PageRequest::new(Some(1), None).unwrap()).next_cursor.unwrap();
        let asked = |cursor: &str| PageRequest::new(None, Some(cursor.to_owned())).unwrap();
        assert_eq!(asked(&cursor).after::<Item>().unwrap(), Some(1));
        assert!(asked(&cursor).after::<Other>().is_err());
        for text in ["", "1", "e30", "_", &format!("{cursor}A"), "WyJpdGVtcyIsIngiXQ"] {
            assert!(asked(text).after::<Item>().is_err(), "{text}");
        }
    }
}
