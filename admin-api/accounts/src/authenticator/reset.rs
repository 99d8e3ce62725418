//! Another password: for somebody who forgot it, and for somebody who knows it.

use service::config::Secret;

use super::mail::{self, Content, MailKind};
use super::register::LINK;
use super::{Authenticator, Client, SignedInPerson};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::one_time::{self, Behind, OneTime};
use crate::db::session::{self, Which};
use crate::db::{device, person};
use crate::password;
use crate::secret::{Purpose, SecretText};

impl Authenticator {
    /// Sends a mail with a link, if the address is somebody's. Nobody is shown whether it is: a token is made and a
    /// mail is written
    /// in any case, and the one to nobody says that there is no account.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for what is no address; [`AuthError::Wait`] for a source that asks too often;
    /// [`AuthError::Store`].
    pub async fn forgot_password(&self, email: &str, client: &Client) -> Result<(), AuthError> {
        let email = check::email(email)?;
        let mut scope = self.platform(client, Actor::System).await?;
        if !self.may_mail(&mut scope, &email, client).await? {
            return Ok(scope.commit().await?);
        }
        let found = person::credentials(scope.connection(), &email).await?;
        let token = SecretText::make(Purpose::OneTime, &self.random);
        let (behind, now) =
            (Behind { person: found.as_ref().map(|found| found.id), payload: None }, scope.now());
        one_time::insert(scope.connection(), OneTime::ResetPassword, &token.hash(), &behind, now).await?;
        let (kind, content) = match found {
            Some(_) => (MailKind::ResetPassword, Content::link(&token)),
            None => (MailKind::AddressUnknown, Content::default()),
        };
        self.mail(&mut scope, kind, &email, content).await?;
        Ok(scope.commit().await?)
    }

    /// Sets the password that the link's owner chose. All sessions end, no device is known any more, and nothing goes
    /// on that was begun before. Gives what the device's cookie is to hold: who follows a link of a mail is no attacker
    /// who guesses, and signs in while an attack on the account lasts. The first sign-in there is that of a new device,
    /// since no second factor was shown here.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a link that is none, was used, or is too old; [`AuthError::Invalid`] for a weak
    /// password: the link stays good.
    pub async fn reset_password(
        &self,
        token: &str,
        password: Secret,
        client: &Client,
    ) -> Result<SecretText, AuthError> {
        let token = SecretText::parse(Purpose::OneTime, token).ok_or(AuthError::Refused(LINK))?.hash();
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let behind = one_time::look(scope.connection(), OneTime::ResetPassword, &token, now).await?;
        let id = behind.and_then(|behind| behind.person).ok_or(AuthError::Refused(LINK))?;
        let known = person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(LINK))?;
        drop(scope);
        password::check(&password, &[&known.email, &known.name])?;
        let hash = self.hasher.hash(password, self.random.bytes()).await?;

        let mut scope = self.platform(client, Actor::Person(id)).await?;
        // The person's row first, here and where a session is opened: a sign-in under way has ended, or waits.
        person::set_password(scope.connection(), id, None, &hash).await?;
        let spent = one_time::spend(scope.connection(), OneTime::ResetPassword, &token, now).await?;
        spent.ok_or(AuthError::Refused(LINK))?;
        one_time::forget_begun(scope.connection(), id).await?;
        session::end(scope.connection(), id, Which::All, "password_reset", now).await?;
        device::forget_all(scope.connection(), id).await?;
        let device = SecretText::make(Purpose::Device, &self.random);
        device::remember(scope.connection(), id, &device.hash(), true, now).await?;
        scope.note(Chain::of_person(id), Note::new("password.reset", id));
        let content = mail::done_by(&scope, &known, client);
        self.mail(&mut scope, MailKind::PasswordChanged, &known.email, content).await?;
        scope.commit().await?;
        Ok(device)
    }

    /// Changes the password of somebody who knows it. All other sessions end, and nothing goes on that was begun
    /// before.
    ///
    /// # Errors
    /// [`AuthError::Refused`] if the old one is wrong; [`AuthError::Invalid`] if the new one is weak.
    pub async fn change_password(
        &self,
        who: &SignedInPerson,
        old: Secret,
        new: Secret,
        client: &Client,
    ) -> Result<(), AuthError> {
        let id = who.session.person;
        let known = self.ask_password(id, old, client).await?;
        let checked = password::check(&new, &[&known.email, &known.name]);
        checked.map_err(|weak| AuthError::weak("new_password", weak))?;
        let hash = self.hasher.hash(new, self.random.bytes()).await?;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        person::set_password(scope.connection(), id, None, &hash).await?;
        one_time::forget_begun(scope.connection(), id).await?;
        session::end(scope.connection(), id, Which::AllExcept(who.session.id), "password_change", now)
            .await?;
        device::forget_all(scope.connection(), id).await?;
        scope.note(Chain::of_person(id), Note::new("password.change", id));
        let content = mail::done_by(&scope, &known, client);
        self.mail(&mut scope, MailKind::PasswordChanged, &known.email, content).await?;
        Ok(scope.commit().await?)
    }
}
