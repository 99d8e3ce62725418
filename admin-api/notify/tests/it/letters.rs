//! Every mail, laid out. `tests/golden/` has them as they are to be.

use std::collections::BTreeMap;
use std::path::Path;

use accounts::{Mail, MailKind};
use chrono::DateTime;
use notify::Letterhead;
use notify::words::{TEMPLATES, template};
use schemas::public_id::MessageId;
use service::config::Secret;

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&{token}\r\nBcc: eve@evil.com https://evil.com/x";

pub(crate) fn letterhead() -> Letterhead {
    Letterhead {
        from: "weir <weir@weir.example>".parse().unwrap(),
        public_url: "https://app.weir.example/".to_owned(),
    }
}

pub(crate) fn mail(kind: &str, recipient: &str, detail: impl Fn(&str) -> String) -> Mail {
    let names = ["name", "tenant", "device", "address", "at", "new_email", "change"];
    Mail {
        id: MessageId::of_random([7; 16]),
        kind: kind.to_owned(),
        recipient: recipient.to_owned(),
        token: Some(Secret::from("wo_0123456789")),
        details: names.iter().map(|name| ((*name).to_owned(), detail(name))).collect::<BTreeMap<_, _>>(),
        created_at: DateTime::from_timestamp(1_796_040_000, 0).unwrap(),
    }
}

fn ordinary(name: &str) -> String {
    match name {
        "name" => "Ada Lovelace",
        "tenant" => "Analytical Engines",
        "device" => "Firefox on Linux",
        "address" => "192.0.2.7",
        "at" => "2026-11-30T12:00:00Z",
        "new_email" => "ada@new.example",
        _ => "codes of an app are asked for",
    }
    .to_owned()
}

fn written(mail: &Mail) -> String {
    let ready = letterhead().write(template(&mail.kind).unwrap(), mail, None).unwrap();
    String::from_utf8(ready.bytes).unwrap()
}

/// Without what is random in it, and with soft line breaks and escapes of the transfer encoding taken back.
fn readable(mail: &str) -> String {
    let boundary = mail.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let joined = mail.replace(&boundary, "boundary").replace("\r\n", "\n").replace("=\n", "");
    joined.replace("=3D", "=").replace("=22", "\"")
}

#[test]
fn every_mail_reads_as_its_golden_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut wrong = Vec::new();
    for template in TEMPLATES {
        let found = readable(&written(&mail(template.kind, "ada@example.com", ordinary)));
        let path = folder.join(format!("{}.eml", template.kind));
        if std::fs::read_to_string(&path).ok().as_deref() != Some(found.as_str()) {
            let new = path.with_extension("new");
            std::fs::write(&new, found).unwrap();
            wrong.push(new.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "look at these, and rename them to .eml if they are right: {wrong:#?}");
}

#[test]
fn every_kind_of_mail_has_a_template_and_every_template_a_kind() {
    let kinds: Vec<&str> = MailKind::ALL.iter().map(|kind| kind.as_str()).collect();
    for kind in &kinds {
        assert!(template(kind).is_ok(), "{kind} has no template");
    }
    for template in TEMPLATES {
        assert!(kinds.contains(&template.kind), "no mail is of the kind {}", template.kind);
    }
    assert!(template("other").is_err());
}

#[test]
fn what_people_have_typed_is_neither_markup_nor_a_header_nor_a_link() {
    for template in TEMPLATES {
        let hostile = |name: &str| if name == "new_email" { ordinary(name) } else { HOSTILE.to_owned() };
        let mail = readable(&written(&mail(template.kind, "ada@example.com", hostile)));
        let (header, _) = mail.split_once("\n\n").unwrap();
        let (_, html) = mail.split_once("Content-Type: text/html").unwrap();
        assert!(!header.contains("Bcc") && !header.contains("evil"), "{}: {header}", template.kind);
        assert!(!html.contains("<img") && !mail.contains("evil.com"), "{}: {mail}", template.kind);
        let links = html.matches("href=").count();
        assert_eq!(links, html.matches("href=\"https://app.weir.example/").count(), "{mail}");
    }
}

#[test]
fn the_same_mail_is_the_same_message_and_says_that_a_machine_wrote_it() {
    let mail = mail("invitation", "ada@example.com", ordinary);
    let write = |unsubscribe| {
        let ready = letterhead().write(template("invitation").unwrap(), &mail, unsubscribe).unwrap();
        readable(&String::from_utf8(ready.bytes).unwrap())
    };
    let first = write(Some("https://app.weir.example/v1/mail/unsubscribe?token=t"));
    assert_eq!(first, write(Some("https://app.weir.example/v1/mail/unsubscribe?token=t")));
    for line in [
        "From: weir <weir@weir.example>",
        "To: ada@example.com",
        "Date: Mon, 30 Nov 2026 12:00:00 +0000",
        "Auto-Submitted: auto-generated",
        "List-Unsubscribe: <https://app.weir.example/v1/mail/unsubscribe?token=t>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ] {
        assert!(first.lines().any(|found| found == line), "{line} is not in {first}");
    }
    assert!(first.contains(&format!("Message-ID: <{}@weir.example>", mail.id)), "{first}");
    assert!(!write(None).contains("List-Unsubscribe"));
}
