//! The bytes of a mail (RFC 5322, and MIME's `multipart/alternative` in quoted-printable).
//!
//! All of it follows from the outbox's row: a mail that is sent again is the same, byte for byte.

use std::fmt::Write;

use accounts::Mail;

use crate::address::{Mailbox, NoAddress};
use crate::layout;
use crate::words::{Template, Words, WordsError};

/// Columns of a line in quoted-printable.
const COLUMNS: usize = 76;

/// What all mails have in common.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// Whom they are from.
    pub from: Mailbox,
    /// What links begin with.
    pub public_url: String,
}

/// A mail that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Ready {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Header and body, of ASCII alone where its addresses are.
    pub bytes: Vec<u8>,
}

/// A mail can't be written.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Of its words.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// The recipient is no address that mails can be sent to.
    #[error("the recipient is not an address")]
    Recipient(#[from] NoAddress),
}

impl Letterhead {
    /// Writes a mail. `unsubscribe` is where somebody who wants no more of them can say so.
    ///
    /// # Errors
    /// [`MessageError`].
    pub fn write(
        &self,
        template: Template,
        mail: &Mail,
        unsubscribe: Option<&str>,
    ) -> Result<Ready, MessageError> {
        let words = template.words(mail, &self.public_url)?;
        let to: Mailbox = mail.recipient.parse()?;
        let host = self.public_url.split("://").last().unwrap_or_default().trim_end_matches('/');
        let boundary = format!("part_{}", mail.id);
        let mut text = self.header(mail, &to, &words, unsubscribe);
        for (kind, part) in [("plain", layout::text(&words, host)), ("html", layout::html(&words, host))] {
            let _ = write!(text, "--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n");
            text.push_str("Content-Transfer-Encoding: quoted-printable\r\n\r\n");
            text.push_str(&quoted_printable(&part));
        }
        let _ = write!(text, "--{boundary}--\r\n");
        Ok(Ready {
            from: self.from.address().to_owned(),
            to: to.address().to_owned(),
            bytes: text.into_bytes(),
        })
    }

    /// Up to the empty line. Writing to a string does not fail.
    fn header(&self, mail: &Mail, to: &Mailbox, words: &Words, unsubscribe: Option<&str>) -> String {
        let (Self { from, .. }, mut header) = (self, String::new());
        let _ = write!(header, "From: {from}\r\nTo: {to}\r\nSubject: {}\r\n", words.subject);
        let _ = write!(header, "Date: {}\r\n", mail.created_at.to_rfc2822());
        let _ = write!(header, "Message-ID: <{}@{}>\r\n", mail.id, from.domain());
        // No machine is to answer (RFC 3834).
        header.push_str("Auto-Submitted: auto-generated\r\n");
        if let Some(url) = unsubscribe {
            let _ = write!(header, "List-Unsubscribe: <{url}>\r\n");
            header.push_str("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
        }
        header.push_str("MIME-Version: 1.0\r\n");
        let _ = write!(header, "Content-Type: multipart/alternative; boundary=\"part_{}\"\r\n\r\n", mail.id);
        header
    }
}

/// The text in lines of ASCII that end with CRLF.
fn quoted_printable(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + text.len() / 8);
    for line in text.lines() {
        let mut column = 0;
        for (at, byte) in line.bytes().enumerate() {
            // A space at a line's end would be lost on the way.
            let is_plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~')
                || (matches!(byte, b' ' | b'\t') && at + 1 < line.len());
            let width = if is_plain { 1 } else { 3 };
            if column + width >= COLUMNS {
                quoted.push_str("=\r\n");
                column = 0;
            }
            if is_plain {
                quoted.push(char::from(byte));
            } else {
                let _ = write!(quoted, "={byte:02X}");
            }
            column += width;
        }
        quoted.push_str("\r\n");
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a mail program reads it.
    fn read(quoted: &str) -> String {
        let joined = quoted.replace("=\r\n", "").replace("\r\n", "\n");
        let (mut bytes, mut rest) = (Vec::new(), joined.as_str());
        while let Some((before, after)) = rest.split_once('=') {
            bytes.extend(before.bytes());
            bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
            rest = &after[2..];
        }
        bytes.extend(rest.bytes());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn quoted_printable_is_ascii_in_short_lines_and_reads_as_it_was() {
        let long = "ü=".repeat(200) + &"word ".repeat(100);
        for text in ["", "a\n", "a = b \n\n.\n", "Zoë\t\n", "\u{1F600}\n", &format!("{long}\n")] {
            let quoted = quoted_printable(text);
            assert!(quoted.is_ascii() && quoted.split("\r\n").all(|line| line.len() <= COLUMNS), "{quoted}");
            assert!(quoted.split("\r\n").all(|line| !line.ends_with([' ', '\t'])), "{quoted}");
            assert_eq!(read(&quoted), text);
        }
    }
}
