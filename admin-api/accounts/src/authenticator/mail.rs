//! Mails that wait to be sent. What sends them asks here, since what they hold is sealed.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use schemas::public_id::MessageId;
use serde::{Deserialize, Serialize};
use service::config::Secret;

use super::{Authenticator, Client};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::invitation::MadeInvitation;
use crate::db::outbox::{self, OutboxRow};
use crate::db::person::Person;
use crate::db::scope::Scope;
use crate::seal::SealKey;
use crate::secret::SecretText;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $word:literal;)*) => {
        /// Which mail: each has a template of its name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum MailKind {
            $($(#[doc = $doc])* $variant,)*
        }

        impl MailKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in the outbox.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

kinds! {
    /// Registration: the link makes the person.
    VerifyEmail = "verify_email";
    /// Somebody registered with an address that is known, or wants to change theirs to it.
    AddressKnown = "address_known";
    /// The link lets one choose another password.
    ResetPassword = "reset_password";
    /// Somebody forgot the password of an address that is nobody's.
    AddressUnknown = "address_unknown";
    /// The link makes a member. Details: `tenant`.
    Invitation = "invitation";
    /// A person was made. Details: `name`; `tenant`, if one was made for them.
    Welcome = "welcome";
    /// A person was made by an invitation. Details: `name`; `tenant`, which they are a member of.
    Joined = "joined";
    /// Somebody signed in on a device that was not known. Details: `name`, `device`, `address`, `at`.
    NewDevice = "new_device";
    /// The password is another one. Details: `name`, `device`, `address`, `at`.
    PasswordChanged = "password_changed";
    /// The link makes the address the person's. Details: `name`.
    ConfirmEmail = "confirm_email";
    /// To the old address: somebody wants to change it. Details: `name`, `new_email`, `device`, `address`, `at`.
    EmailChangeAsked = "email_change_asked";
    /// To the old address: it was changed. Details: `name`, `new_email`, `device`, `address`, `at`.
    EmailChanged = "email_changed";
    /// A second factor was added or removed, or recovery codes were made. Details: `name`, `change`, `device`,
    /// `address`, `at`.
    SecondFactorChanged = "second_factor_changed";
}

/// A mail that waits to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its id.
    pub id: MessageId,
    /// Which template: [`MailKind::as_str`].
    pub kind: String,
    /// To whom.
    pub recipient: String,
    /// What its link holds, if it has one.
    pub token: Option<Secret>,
    /// When it was put into the outbox.
    pub created_at: DateTime<Utc>,
    /// What the template says, by name. Texts that people have typed: a template escapes them.
    pub details: BTreeMap<String, String>,
}

/// What is sealed of a mail.
#[derive(Default, Serialize, Deserialize)]
struct Body {
    token: Option<String>,
    details: BTreeMap<String, String>,
}

/// What a mail says, apart from its kind.
#[derive(Default)]
pub(super) struct Content<'a> {
    token: Option<&'a SecretText>,
    details: BTreeMap<String, String>,
}

impl<'a> Content<'a> {
    pub(super) fn link(token: &'a SecretText) -> Self {
        Self { token: Some(token), ..Self::default() }
    }

    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.details.insert(name.to_owned(), value.to_string());
        self
    }
}

/// What a person is shown of something that was done in their name.
pub(super) fn done_by<'a, Of>(scope: &Scope<Of>, person: &Person, client: &Client) -> Content<'a> {
    let address = client.address.map(|address| address.to_canonical().to_string()).unwrap_or_default();
    Content::default()
        .with("name", &person.name)
        .with("device", client.device_name())
        .with("address", address)
        .with("at", time(scope))
}

/// When it is done, as mails say it.
pub(super) fn time<Of>(scope: &Scope<Of>) -> String {
    scope.now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Authenticator {
    /// Puts a mail into the outbox. What it holds is sealed.
    pub(super) async fn mail<Of>(
        &self,
        scope: &mut Scope<Of>,
        kind: MailKind,
        recipient: &str,
        content: Content<'_>,
    ) -> Result<(), AuthError> {
        let id = MessageId::of_random(self.random.bytes());
        let body =
            Body { token: content.token.map(|token| token.expose().to_owned()), details: content.details };
        // A struct of texts always serialises.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let sealed = self.seal.seal(&place(id), &body)?;
        let now = scope.now();
        Ok(outbox::insert(scope.connection(), id, kind.as_str(), recipient, &sealed, now).await?)
    }

    /// Puts the mail with an invitation's link into the outbox.
    ///
    /// # Errors
    /// [`AuthError::Store`], [`AuthError::Sealed`].
    pub async fn mail_invitation(&self, scope: &mut Scope, made: &MadeInvitation) -> Result<(), AuthError> {
        let content = Content::link(&made.token).with("tenant", &made.tenant_title);
        self.mail(scope, MailKind::Invitation, &made.invitation.email, content).await
    }

    /// Mails that wait, the oldest first.
    ///
    /// # Errors
    /// [`AuthError::Store`], [`AuthError::Sealed`].
    pub async fn unsent_mails(&self, limit: i64) -> Result<Vec<Mail>, AuthError> {
        let mut scope = self.platform(&Client::default(), Actor::System).await?;
        let mut mails = Vec::new();
        for row in outbox::unsent(scope.connection(), limit).await? {
            mails.push(opened(&self.seal, row)?);
        }
        Ok(mails)
    }

    /// Notes that a mail was sent.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn mail_was_sent(&self, id: MessageId) -> Result<(), AuthError> {
        let mut scope = self.platform(&Client::default(), Actor::System).await?;
        let now = scope.now();
        outbox::sent(scope.connection(), id, now).await?;
        Ok(scope.commit().await?)
    }
}

/// A row of the outbox as a mail. What a version before sealed is the token alone.
pub(super) fn opened(seal: &SealKey, row: OutboxRow) -> Result<Mail, AuthError> {
    let OutboxRow { id, kind, recipient, sealed_body, created_at } = row;
    let body = seal.open(&place(id), &sealed_body)?;
    let Body { token, details } = serde_json::from_slice(&body).unwrap_or_else(|_| Body {
        token: String::from_utf8(body).ok().filter(|token| !token.is_empty()),
        details: BTreeMap::new(),
    });
    let token = token.as_deref().map(Secret::from);
    Ok(Mail { id, kind, recipient, token, created_at, details })
}

/// Where a sealed body stands.
fn place(id: MessageId) -> String {
    format!("outbox {id}")
}
