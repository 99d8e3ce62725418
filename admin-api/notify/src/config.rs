//! Settings of mails.

use std::net::IpAddr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use service::config::{Secret, Settings};
use url::{Host, Url};

use crate::address::Mailbox;

/// How mails are sent.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// To whom they are handed; `None`: they stay in the outbox.
    pub relay: Option<Relay>,
    /// Whom they are from.
    pub from: Option<Mailbox>,
    /// PEM certificates that the relay's may be signed by, in addition to the public ones.
    pub ca_file: Option<String>,
    /// What their links begin with.
    pub public_url: String,
}

/// Where mails are handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Its name, which its certificate must bear.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub tls: Tls,
    /// User and password, if it asks for them.
    pub login: Option<(String, Secret)>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// With the connection.
    Implicit,
    /// By STARTTLS; without it nothing is sent.
    Required,
    /// Never.
    None,
}

/// How long the relay has for a connection, and for each answer after that.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

impl MailConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings, public_url: String) -> Self {
        let given = settings.optional_secret(
            "WEIR_SMTP_URL",
            "smtp://user:password@host:port (STARTTLS) or smtps://; if it is not set, mails stay in the outbox",
        );
        let from = settings.optional("WEIR_MAIL_FROM", "whom mails are from, as in weir <weir@example.com>");
        let ca_file =
            settings.optional("WEIR_SMTP_CA_FILE", "PEM certificates that the mail relay's may be signed by");
        let relay = given.as_ref().and_then(|url| match Relay::parse(url.expose()) {
            Ok(relay) => Some(relay),
            Err(why) => {
                settings.refuse(format!("WEIR_SMTP_URL is not valid: {why}"));
                None
            }
        });
        let mailbox = from.as_ref().and_then(|text| match text.parse::<Mailbox>() {
            Ok(mailbox) => Some(mailbox),
            Err(error) => {
                settings.refuse(format!("WEIR_MAIL_FROM={text:?} is not an address: {error}"));
                None
            }
        });
        if given.is_some() && from.is_none() {
            settings.refuse("WEIR_SMTP_URL is set, and WEIR_MAIL_FROM is not".to_owned());
        }
        Self { relay, from: mailbox, ca_file, public_url }
    }
}

impl Relay {
    /// Reads `smtp://` or `smtps://`. What is wrong is said without the text, which holds a password.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let host = url.host().ok_or("it names no host")?;
        let is_loopback = match &host {
            // An address stands there, too: the URL is none of a scheme that browsers know.
            Host::Domain(name) => {
                *name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
            Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
            Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
        };
        let (tls, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Tls::Implicit, 465),
            ("smtp", None) if is_loopback => (Tls::None, 25),
            ("smtp", None | Some("tls=required")) => (Tls::Required, 587),
            ("smtp", Some("tls=none")) => (Tls::None, 25),
            ("smtp" | "smtps", Some(_)) => return Err("after `?` stands tls=required or tls=none".to_owned()),
            _ => return Err("it begins with smtp:// or smtps://".to_owned()),
        };
        let decoded = |text: &str| {
            percent_decode_str(text).decode_utf8().map(String::from).map_err(|error| error.to_string())
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) => Some((decoded(user)?, Secret::from(decoded(password)?.as_str()))),
            (_, None) => return Err("it has a user and no password".to_owned()),
        };
        if login.is_some() && tls == Tls::None && !is_loopback {
            return Err("a password is not sent without TLS".to_owned());
        }
        // An IPv6 address stands in brackets in a URL, and nowhere else.
        let host = host.to_string().trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: url.port().unwrap_or(port), tls, login })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(text: &str) -> (String, u16, Tls) {
        let relay = Relay::parse(text).unwrap();
        (relay.host, relay.port, relay.tls)
    }

    #[test]
    fn tls_is_left_out_on_this_machine_or_where_somebody_says_so() {
        let of = |host: &str, port, tls| (host.to_owned(), port, tls);
        assert_eq!(relay("smtp://mx.example"), of("mx.example", 587, Tls::Required));
        assert_eq!(relay("smtp://mx.example:2525?tls=required"), of("mx.example", 2525, Tls::Required));
        assert_eq!(relay("smtps://mx.example"), of("mx.example", 465, Tls::Implicit));
        assert_eq!(relay("smtp://mx.example?tls=none"), of("mx.example", 25, Tls::None));
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            assert_eq!(relay(&format!("smtp://{host}:1025")).2, Tls::None, "{host}");
            assert_eq!(relay(&format!("smtp://{host}:1025?tls=required")).2, Tls::Required, "{host}");
        }
    }

    #[test]
    fn a_login_is_decoded_and_never_sent_in_the_clear() {
        let login = Relay::parse("smtp://ada%40example.com:p%3Aw%2F@mx.example").unwrap().login.unwrap();
        assert_eq!((login.0.as_str(), login.1.expose()), ("ada@example.com", "p:w/"));
        for wrong in [
            "smtp://ada:hunter2@mx.example?tls=none",
            "smtp://ada@mx.example",
            "http://ada:hunter2@mx.example",
            "smtp://ada:hunter2@mx.example?tls=maybe",
            "hunter2",
        ] {
            assert!(!Relay::parse(wrong).unwrap_err().contains("hunter2"), "{wrong}");
        }
    }

    #[test]
    fn every_mistake_is_found_when_settings_are_read() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let mut settings = Settings::new(pairs);
            MailConfig::read(&mut settings, String::new());
            settings.finish().map_err(|mistakes| mistakes.0.len()).map(|_| ())
        };
        assert_eq!(read(&[]), Ok(()));
        let from = ("WEIR_MAIL_FROM", "weir <weir@example.com>");
        assert_eq!(read(&[from, ("WEIR_SMTP_URL", "smtp://mx.example")]), Ok(()));
        assert_eq!(read(&[("WEIR_SMTP_URL", "smtp://mx.example")]), Err(1));
        assert_eq!(read(&[("WEIR_MAIL_FROM", "weir"), ("WEIR_SMTP_URL", "mx.example")]), Err(2));
    }
}
