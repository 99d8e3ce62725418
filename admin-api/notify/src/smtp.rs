//! Hands mails to the operator's relay, over connections that are kept for the next mail.
//!
//! Each command's answer is looked at by itself: only one of RCPT says something of the recipient. What a relay says of
//! weir (of its login, of its address) is the same for all mails and can be put right, so no mail is given up for it;
//! nor for an answer to RCPT that speaks of a policy.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config::{MailConfig, Relay, Tls};
use crate::connect::{Connection, Secured};
pub use crate::connect::{RelayError, Said};
use crate::message::Ready;

/// A connection that was not used for so long is not used again: relays close them after a minute or five.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Connections that are kept.
const KEPT_MAX: usize = 8;

/// The relay. Cloning it is cheap; clones share connections.
#[derive(Clone)]
pub struct Smtp(Arc<Shared>);

struct Shared {
    relay: Relay,
    /// What it calls itself.
    name: String,
    secured: Option<Secured>,
    idle: Mutex<Vec<(Connection, Instant)>>,
}

/// A mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The relay is away, or says: not now. Whether it took the mail may be unknown.
    #[error("the mail relay did not take the mail: {0}")]
    Retry(Said),
    /// It refuses the recipient for good.
    #[error("the mail relay refuses the recipient: {0}")]
    Bounced(Said),
    /// It refuses this mail for good.
    #[error("the mail relay refuses the mail: {0}")]
    Refused(Said),
}

impl Smtp {
    /// The relay that the settings name, if they name one. Nothing is connected before there is a mail.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn new(config: &MailConfig) -> Result<Option<Self>, RelayError> {
        let (Some(relay), Some(from)) = (config.relay.clone(), &config.from) else { return Ok(None) };
        let secured = match relay.tls {
            Tls::None => None,
            Tls::Implicit | Tls::Required => Some(Secured::new(&relay.host, config.ca_file.as_deref())?),
        };
        let name = from.domain().to_owned();
        Ok(Some(Self(Arc::new(Shared { relay, name, secured, idle: Mutex::default() }))))
    }

    /// Hands over a mail. After an error of unknown outcome the relay may have taken it: who sends it again sends the
    /// same bytes.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, mail: &Ready) -> Result<(), SendError> {
        if let Some(mut kept) = self.kept() {
            // One that the relay has closed meanwhile says so at its first command, before any mail is under way.
            match begin(&mut kept, mail).await {
                Ok(()) => return self.rest(kept, mail).await,
                Err(said) if said.code.is_some_and(|code| code != 421) => return Err(SendError::Retry(said)),
                Err(_) => {}
            }
        }
        let Shared { relay, name, secured, .. } = &*self.0;
        let opened = Connection::open(relay, secured.as_ref(), name).await;
        let mut fresh = opened.map_err(SendError::Retry)?;
        begin(&mut fresh, mail).await.map_err(SendError::Retry)?;
        self.rest(fresh, mail).await
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.0.idle.lock();
        idle.retain(|(_, since)| since.elapsed() < IDLE_MAX);
        idle.pop().map(|(connection, _)| connection)
    }

    /// Says to whom, and all of it. A connection on which something was refused is not used again.
    async fn rest(&self, mut connection: Connection, mail: &Ready) -> Result<(), SendError> {
        let said = connection.say("RCPT", &format!("RCPT TO:<{}>", mail.to)).await;
        said.map_err(Said::of_recipient)?;
        connection.say("DATA", "DATA").await.map_err(SendError::Retry)?;
        connection.hand_over(&mail.bytes).await.map_err(Said::of_mail)?;
        let mut idle = self.0.idle.lock();
        if idle.len() < KEPT_MAX {
            idle.push((connection, Instant::now()));
        }
        Ok(())
    }
}

/// Says whom the mail is from.
async fn begin(connection: &mut Connection, mail: &Ready) -> Result<(), Said> {
    // Without it, the relay refuses an address of other letters at RCPT.
    let is_wide = !mail.to.is_ascii() && connection.offers("SMTPUTF8");
    let option = if is_wide { " SMTPUTF8" } else { "" };
    connection.say("MAIL", &format!("MAIL FROM:<{}>{option}", mail.from)).await.map(drop)
}

impl Said {
    /// What follows from an answer to RCPT. Relays refuse weir itself there as well ("relay access denied").
    fn of_recipient(self) -> SendError {
        let code = self.code.unwrap_or_default();
        let names_recipient = match self.enhanced() {
            // 5.1.7 and 5.1.8 are about the sender's address (RFC 3463).
            Some([5, 1, detail]) => !matches!(detail, 7 | 8),
            Some([class, subject, _]) => (class, subject) == (5, 2),
            None => matches!(code, 550 | 551 | 553),
        };
        if (500..600).contains(&code) && names_recipient {
            SendError::Bounced(self)
        } else {
            SendError::Retry(self)
        }
    }

    fn of_mail(self) -> SendError {
        if self.code.is_some_and(|code| (500..600).contains(&code)) {
            SendError::Refused(self)
        } else {
            SendError::Retry(self)
        }
    }

    /// The enhanced status code after the three digits (RFC 2034).
    fn enhanced(&self) -> Option<[u16; 3]> {
        let word = self.text.get(4..)?.split_ascii_whitespace().next()?;
        let mut numbers = word.split('.').map(str::parse);
        let status = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
        numbers.next().is_none().then_some(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_rcpt_is_a_bounce_only_if_it_is_about_the_recipient() {
        for (text, bounces) in [
            ("550 5.1.1 no such user", true),
            ("550-5.1.1 no such user", true),
            ("556 5.1.10 it takes no mails", true),
            ("552 5.2.2 mailbox full", true),
            ("550 no such user", true),
            ("553", true),
            ("554 5.7.1 Relay access denied", false),
            ("550 5.7.1 listed", false),
            ("550 5.1.8 sender address rejected", false),
            ("550 5.4.1 relay access denied", false),
            ("554 no", false),
            ("552 mailbox full", false),
            ("501 5.5.4 syntax", false),
            ("450 5.1.1 not now", false),
        ] {
            let said = Said { at: "RCPT", text: text.to_owned(), code: text[..3].parse().ok() };
            assert_eq!(matches!(said.of_recipient(), SendError::Bounced(_)), bounces, "{text}");
        }
    }
}
