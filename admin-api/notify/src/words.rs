//! What mails say: a file of `templates/` for each kind, read into the words of one mail.
//!
//! The first line is the subject. After it come paragraphs with blank lines between them. `{name}` stands for a detail
//! of the mail; a paragraph whose detail is not there is left out. `[label]` alone in its paragraph is the mail's link.

use std::collections::BTreeMap;
use std::time::Duration;

use accounts::Mail;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// Letters of a detail that are shown: nobody writes a letter into their name.
const DETAIL_CHARACTERS_MAX: usize = 80;

/// What is known of a kind of mails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Its name, as the outbox has it.
    pub kind: &'static str,
    text: &'static str,
    /// Where its link leads.
    path: &'static str,
    /// A mail that could not be sent for so long is of no use any more.
    pub life: Duration,
    /// Whether somebody may ask for no more of them. What guards an account is always sent.
    pub is_optional: bool,
}

macro_rules! templates {
    ($($kind:literal $life:ident $path:literal $is_optional:literal;)*) => {
        /// Every kind.
        pub const TEMPLATES: &[Template] = &[$(Template {
            kind: $kind,
            text: include_str!(concat!("../templates/", $kind, ".txt")),
            path: $path,
            life: $life,
            is_optional: $is_optional,
        },)*];
    };
}

templates! {
    "verify_email" DAY "/verify-email" false;
    "address_known" DAY "" false;
    "reset_password" HOUR "/reset-password" false;
    "address_unknown" HOUR "" false;
    "invitation" WEEK "/accept-invitation" true;
    "welcome" WEEK "" false;
    "joined" WEEK "" false;
    "new_device" WEEK "" false;
    "password_changed" WEEK "" false;
    "confirm_email" DAY "/verify-email" false;
    "email_change_asked" WEEK "" false;
    "email_changed" WEEK "" false;
    "second_factor_changed" WEEK "" false;
}

/// The words of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub subject: String,
    /// In order.
    pub parts: Vec<Part>,
}

/// A part of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text as it is to be read.
    Paragraph(String),
    /// What to press.
    Link {
        /// What it does.
        label: String,
        /// Where it leads.
        url: String,
    },
}

/// A mail can't be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WordsError {
    /// A newer weir has put it into the outbox.
    #[error("there is no template for mails of the kind {0:?}")]
    Unknown(String),
    /// Its link has nothing to hold.
    #[error("the mail has no token for its link")]
    NoToken,
}

/// The template of that kind.
///
/// # Errors
/// [`WordsError::Unknown`].
pub fn template(kind: &str) -> Result<Template, WordsError> {
    let found = TEMPLATES.iter().find(|template| template.kind == kind);
    found.copied().ok_or_else(|| WordsError::Unknown(kind.to_owned()))
}

impl Template {
    /// The words of `mail`, whose links begin with `public_url`.
    ///
    /// # Errors
    /// [`WordsError::NoToken`].
    pub fn words(self, mail: &Mail, public_url: &str) -> Result<Words, WordsError> {
        let (subject, rest) = self.text.split_once("\n\n").unwrap_or((self.text, ""));
        let mut parts = Vec::new();
        for paragraph in rest.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
            let joined = paragraph.lines().collect::<Vec<_>>().join(" ");
            if let Some(label) = joined.strip_prefix('[').and_then(|label| label.strip_suffix(']')) {
                let token = mail.token.as_ref().ok_or(WordsError::NoToken)?;
                let base = public_url.trim_end_matches('/');
                let url = format!("{base}{}?token={}", self.path, token.expose());
                parts.push(Part::Link { label: label.to_owned(), url });
            } else if let Some(text) = filled(&joined, &mail.details) {
                parts.push(Part::Paragraph(text));
            }
        }
        let subject = filled(subject, &mail.details).unwrap_or_else(|| "weir".to_owned());
        Ok(Words { subject, parts })
    }
}

/// The text with its details; `None` if one is not there.
fn filled(text: &str, details: &BTreeMap<String, String>) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let detail =
            details.get(name).map(|detail| shown(name, detail)).filter(|detail| !detail.is_empty())?;
        filled.push_str(before);
        filled.push_str(&detail);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

/// A detail as a mail shows it. People type some of them: one line, not long, and nothing that a client makes a link
/// of, since anybody can have a mail sent to anybody with a name that they chose.
fn shown(name: &str, detail: &str) -> String {
    // An address was checked, and is to be read as it is.
    let is_address = name == "new_email";
    let mut shown = String::new();
    for letter in detail.trim().chars().take(DETAIL_CHARACTERS_MAX) {
        match letter {
            _ if letter.is_control() || is_direction(letter) => shown.push(' '),
            // A word of letters with dots or slashes between them looks like a host. Numbers do not: 192.0.2.1, 12:30.
            '.' | '/' | ':' if !is_address && shown.ends_with(char::is_alphabetic) => {
                shown.push(letter);
                shown.push(' ');
            }
            _ => shown.push(letter),
        }
    }
    shown.trim().to_owned()
}

/// Marks that turn the order of letters around, and can make a text look like another.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_paragraph_without_its_detail_is_left_out() {
        let details = details(&[("name", "Ada"), ("empty", " ")]);
        assert_eq!(filled("Hello {name}, {name}.", &details).as_deref(), Some("Hello Ada, Ada."));
        assert_eq!(filled("From {device}.", &details), None);
        assert_eq!(filled("From {empty}.", &details), None);
        assert_eq!(filled("As it is.", &details).as_deref(), Some("As it is."));
    }

    #[test]
    fn a_name_is_one_short_line_and_no_link() {
        for (typed, seen) in [
            ("Ada", "Ada"),
            ("Acme Inc.", "Acme Inc."),
            ("Win at evil.com/now", "Win at evil. com/ now"),
            ("https://evil.com", "https: //evil. com"),
            ("Ada\r\nBcc: eve@evil.com", "Ada  Bcc:  eve@evil. com"),
            ("a\u{202e}b", "a b"),
            ("192.0.2.1", "192.0.2.1"),
            ("2026-11-30T12:30:00Z", "2026-11-30T12:30:00Z"),
        ] {
            assert_eq!(shown("name", typed), seen, "{typed:?}");
        }
        assert_eq!(shown("name", &"x".repeat(81)).len(), 80);
        assert_eq!(shown("new_email", "ada@new.example"), "ada@new.example");
    }
}
