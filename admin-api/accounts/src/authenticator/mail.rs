//! Mails that wait to be sent. What sends them asks here, since their links are sealed.

use schemas::public_id::MessageId;
use service::config::Secret;

use super::{Authenticator, Client};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::invitation::MadeInvitation;
use crate::db::outbox;
use crate::db::scope::Scope;
use crate::secret::SecretText;

/// A mail that waits to be sent.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Its id.
    pub id: MessageId,
    /// Which template: `verify_email`, `address_known`, `reset_password`, `address_unknown`,
    /// `invitation`.
    pub kind: String,
    /// To whom.
    pub recipient: String,
    /// What its link holds, if it has one.
    pub token: Option<Secret>,
}

impl Authenticator {
    /// Puts a mail into the outbox. Its link's secret is sealed.
    pub(super) async fn mail<Of>(
        &self,
        scope: &mut Scope<Of>,
        kind: &str,
        recipient: &str,
        token: Option<&SecretText>,
    ) -> Result<(), AuthError> {
        let id = MessageId::of_random(self.random.bytes());
        let body = token.map(SecretText::expose).unwrap_or_default();
        let sealed = self.seal.seal(&place(id), body.as_bytes())?;
        let now = scope.now();
        Ok(outbox::insert(scope.connection(), id, kind, recipient, &sealed, now).await?)
    }

    /// Puts the mail with an invitation's link into the outbox.
    ///
    /// # Errors
    /// [`AuthError::Store`], [`AuthError::Sealed`].
    pub async fn mail_invitation(&self, scope: &mut Scope, made: &MadeInvitation) -> Result<(), AuthError> {
        self.mail(scope, "invitation", &made.invitation.email, Some(&made.token)).await
    }

    /// Mails that wait, the oldest first.
    ///
    /// # Errors
    /// [`AuthError::Store`], [`AuthError::Sealed`].
    pub async fn unsent_mails(&self, limit: i64) -> Result<Vec<Mail>, AuthError> {
        let mut scope = self.platform(&Client::default(), Actor::System).await?;
        let mut mails = Vec::new();
        for row in outbox::unsent(scope.connection(), limit).await? {
            let body = self.seal.open(&place(row.id), &row.sealed_body)?;
            let token = std::str::from_utf8(&body).ok().filter(|text| !text.is_empty()).map(Secret::from);
            mails.push(Mail { id: row.id, kind: row.kind, recipient: row.recipient, token });
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

/// Where a sealed body stands.
fn place(id: MessageId) -> String {
    format!("outbox {id}")
}
