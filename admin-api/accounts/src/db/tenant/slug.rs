//! What stands for a tenant in paths.

use schemas::public_id::PublicTenantId;

use crate::error::AccountError;

/// Characters of a name that a slug is made of at most.
const NAME_CHARACTERS_MAX: usize = 40;
/// Bytes of a slug.
pub const SLUG_BYTES_MAX: usize = 63;

/// Letters and digits of a name.
pub(super) fn of_name(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars().take(NAME_CHARACTERS_MAX) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if check(slug).is_ok() {
        slug.to_owned()
    } else {
        format!("tenant-{slug}").trim_end_matches('-').to_owned()
    }
}

/// A slug that nobody takes for an id, for a number, or for `me`.
///
/// # Errors
/// [`AccountError::Invalid`].
pub(super) fn check(slug: &str) -> Result<(), AccountError> {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let good = (1..=SLUG_BYTES_MAX).contains(&slug.len())
        && slug.bytes().all(letters)
        && !slug.starts_with('-')
        && !slug.ends_with('-')
        && !slug.bytes().all(|c| c.is_ascii_digit())
        && slug != "me"
        && !slug.starts_with(PublicTenantId::PREFIX);
    if good {
        return Ok(());
    }
    let rule = format!(
        "a slug has 1 to {SLUG_BYTES_MAX} letters a to z, digits and -, begins and ends with a letter or digit, and is \
         neither a number nor me"
    );
    Err(AccountError::Invalid(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_letters_and_digits_and_is_no_number() {
        for (name, slug) in [
            ("Acme, Inc.", "acme-inc"),
            ("42", "tenant-42"),
            ("me", "tenant-me"),
            ("日本", "tenant"),
            ("--a--b--", "a-b"),
            ("Zoë & Söhne", "zo-s-hne"),
        ] {
            assert_eq!(of_name(name), slug);
            assert!(check(slug).is_ok());
        }
        assert_eq!(of_name(&"x".repeat(100)).len(), NAME_CHARACTERS_MAX);
    }

    #[test]
    fn a_slug_is_taken_for_nothing_else() {
        let longest = "x".repeat(SLUG_BYTES_MAX);
        for slug in ["a", "a-b", "4two", &longest] {
            assert!(check(slug).is_ok(), "{slug}");
        }
        let longer = format!("{longest}x");
        for slug in ["", "42", "me", "-a", "a-", "A", "a b", "a/b", "ten_0", "erased_7", "ä", &longer] {
            assert!(check(slug).is_err(), "{slug}");
        }
    }
}
