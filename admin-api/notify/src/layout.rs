//! The one layout of all mails, as HTML and as plain text.

use crate::words::{Part, Words};

const LAYOUT: &str = include_str!("../templates/layout.html");
/// Columns of plain text.
const COLUMNS: usize = 72;

/// Laid out for clients that show HTML, light or dark.
pub(crate) fn html(words: &Words, host: &str) -> String {
    let mut parts = String::new();
    for part in &words.parts {
        match part {
            Part::Paragraph(text) => parts.push_str(&format!("<p>{}</p>\n", escaped(text))),
            Part::Link { label, url } => {
                let (label, url) = (escaped(label), escaped(url));
                parts.push_str(&format!("<p><a class=\"press\" href=\"{url}\">{label}</a></p>\n"));
                parts.push_str(&format!("<p class=\"plain\">{url}</p>\n"));
            }
        }
    }
    // Texts of others are put in last, so nothing is looked for in them.
    let mut laid_out = String::new();
    let mut rest = LAYOUT;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        laid_out.push_str(before);
        match name {
            "subject" => laid_out.push_str(&escaped(&words.subject)),
            "parts" => laid_out.push_str(&parts),
            _ => laid_out.push_str(&escaped(host)),
        }
        rest = after;
    }
    laid_out + rest
}

/// Laid out as plain text.
pub(crate) fn text(words: &Words, host: &str) -> String {
    let mut text = String::new();
    for part in &words.parts {
        match part {
            Part::Paragraph(paragraph) => text.push_str(&wrapped(paragraph)),
            // A link that is broken leads nowhere.
            Part::Link { label, url } => text.push_str(&format!("{label}:\n{url}\n")),
        }
        text.push('\n');
    }
    text + &format!("-- \nSent by weir at {host}.\n")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn wrapped(paragraph: &str) -> String {
    let (mut wrapped, mut column) = (String::new(), 0);
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > COLUMNS {
            wrapped.push('\n');
            column = 0;
        } else if column > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped.push('\n');
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_escaped_and_no_placeholder() {
        let hostile = "<script>alert(1)</script>{{parts}}'\"&";
        let words = Words {
            subject: hostile.to_owned(),
            parts: vec![
                Part::Paragraph(hostile.to_owned()),
                Part::Link { label: hostile.to_owned(), url: "https://w.example/\"><b>".to_owned() },
            ],
        };
        let html = html(&words, "<host>");
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("<host>"), "{html}");
        let shown = "&lt;script&gt;alert(1)&lt;/script&gt;{{parts}}&#39;&quot;&amp;";
        assert_eq!(html.matches(shown).count(), 4, "{html}");
    }

    #[test]
    fn plain_text_is_wrapped_between_words() {
        let lines = wrapped(&"word ".repeat(40));
        assert!(lines.lines().all(|line| line.len() <= COLUMNS), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 40);
        assert_eq!(wrapped(&"x".repeat(100)), "x".repeat(100) + "\n");
    }
}
