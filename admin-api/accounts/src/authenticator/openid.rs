//! Signing in through an OpenID provider: who the provider's subject is here.
//!
//! A subject that is linked is that person, whatever address the provider says later. One that is not linked yet is
//! the person of an address that the provider has verified; but who was here before shows a password once, since a
//! provider that can say any address must not take accounts over (docs/adr/0032).

use schemas::public_id::PersonId;
use serde::{Deserialize, Serialize};
use service::config::Secret;

use super::login::WRONG;
use super::mail::{Content, MailKind};
use super::register::LINK;
use super::{Authenticator, Client, Login};
use crate::access::KeyRing;
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::one_time::{self, Behind, OneTime};
use crate::db::openid_identity::{self, Subject};
use crate::db::person;
use crate::db::scope::PlatformScope;
use crate::secret::{Purpose, SecretText};

/// Who somebody is, by what a provider says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIdentity {
    /// The provider's name here.
    pub provider: String,
    /// Its issuer.
    pub issuer: String,
    /// Whom it means: for this issuer always the same person.
    pub subject: String,
    /// An address for mails, if the provider has verified it.
    pub verified_email: Option<String>,
    /// What the person is called.
    pub name: Option<String>,
    /// Whether the provider has asked for a second factor, so that ours is not asked for.
    pub replaces_second_factor: bool,
}

/// How a sign-in through a provider went on.
#[derive(Debug)]
pub enum OpenIdLogin {
    /// As after a password.
    Known(Login),
    /// The address is that of a person who was here before, and must show the password with this link to join the two.
    /// Who has none asks for one by mail, as others do who forgot it.
    PasswordNeeded(SecretText),
}

impl Authenticator {
    /// Signs in whom a provider means.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if the subject is nobody here and has no verified address; [`AuthError::Store`].
    pub async fn login_openid(&self, who: &OpenIdentity, client: &Client) -> Result<OpenIdLogin, AuthError> {
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::System).await?;
        let subject = Subject { issuer: &who.issuer, subject: &who.subject };
        if let Some(id) = openid_identity::find(scope.connection(), subject).await? {
            return self.go_on(scope, &ring, id, who, client).await.map(OpenIdLogin::Known);
        }
        let unverified = || AuthError::Invalid("the provider has verified no address of yours".to_owned());
        let email = check::email(who.verified_email.as_deref().ok_or_else(unverified)?)?;
        let id = match person::credentials(scope.connection(), &email).await? {
            Some(known) => {
                return self.ask_to_join(scope, known.id, who).await.map(OpenIdLogin::PasswordNeeded);
            }
            None => {
                let id = self.found_by_provider(scope, &email, who).await?;
                scope = self.platform(client, Actor::Person(id)).await?;
                id
            }
        };
        self.go_on(scope, &ring, id, who, client).await.map(OpenIdLogin::Known)
    }

    /// Joins a provider's subject to a person, who shows the password.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong password, and for a link that is none, was used, or is too old.
    pub async fn link_openid(
        &self,
        link: &str,
        password: Secret,
        client: &Client,
    ) -> Result<Login, AuthError> {
        let link = SecretText::parse(Purpose::OneTime, link).ok_or(AuthError::Refused(LINK))?.hash();
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        // Not used up before the password is right: it may be mistyped.
        let behind = one_time::look(scope.connection(), OneTime::LinkOpenId, &link, now).await?;
        drop(scope);
        let behind = behind.ok_or(AuthError::Refused(LINK))?;
        let who: Option<OpenIdentity> = behind.payload.and_then(|text| serde_json::from_str(&text).ok());
        let (Some(id), Some(who)) = (behind.person, who) else { return Err(AuthError::Refused(LINK)) };
        let known = self.ask_password(id, password, client).await?;
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::System).await?;
        person::hold(scope.connection(), id).await?.ok_or(AuthError::Refused(LINK))?;
        let spent = one_time::spend(scope.connection(), OneTime::LinkOpenId, &link, now).await?;
        spent.ok_or(AuthError::Refused(LINK))?;
        self.join_identity(&mut scope, id, &who).await?;
        let change = format!("{} signs you in from now on", who.provider);
        self.mail_change(&mut scope, &known, &change, client).await?;
        self.go_on(scope, &ring, id, &who, client).await
    }

    async fn join_identity(
        &self,
        scope: &mut PlatformScope,
        id: PersonId,
        who: &OpenIdentity,
    ) -> Result<(), AuthError> {
        let (now, caller) = (scope.now(), scope.caller().acting_as(Actor::Person(id)));
        scope.acting_as(caller);
        let subject = Subject { issuer: &who.issuer, subject: &who.subject };
        if !openid_identity::insert(scope.connection(), subject, id, &who.provider, now).await? {
            return Err(AuthError::Refused(LINK));
        }
        scope.note(Chain::of_person(id), Note::new("openid.link", id).after(who));
        Ok(())
    }

    /// A session; or a challenge, if a second factor is on that the provider does not replace.
    async fn go_on(
        &self,
        mut scope: PlatformScope,
        ring: &KeyRing,
        id: PersonId,
        who: &OpenIdentity,
        client: &Client,
    ) -> Result<Login, AuthError> {
        person::hold(scope.connection(), id).await?.ok_or(AuthError::Refused(WRONG))?;
        let caller = scope.caller().acting_as(Actor::Person(id));
        scope.acting_as(caller);
        if !who.replaces_second_factor && self.has_second_factor(&mut scope, id).await? {
            return self.challenge(scope, id).await;
        }
        let known = self.knows_device(&mut scope, id, client).await?;
        Ok(Login::SignedIn(Box::new(self.open_session(scope, ring, id, client, known).await?)))
    }

    async fn ask_to_join(
        &self,
        mut scope: PlatformScope,
        id: PersonId,
        who: &OpenIdentity,
    ) -> Result<SecretText, AuthError> {
        let token = SecretText::make(Purpose::OneTime, &self.random);
        let payload = serde_json::to_string(who).map_err(|error| AuthError::Invalid(error.to_string()))?;
        let (behind, now) = (Behind { person: Some(id), payload: Some(payload) }, scope.now());
        one_time::insert(scope.connection(), OneTime::LinkOpenId, &token.hash(), &behind, now).await?;
        scope.commit().await?;
        Ok(token)
    }

    /// A person without a password, with a tenant of their own, as after a registration. Commits.
    async fn found_by_provider(
        &self,
        mut scope: PlatformScope,
        email: &str,
        who: &OpenIdentity,
    ) -> Result<PersonId, AuthError> {
        let names = [who.name.as_deref(), email.split('@').next()];
        let name =
            names.into_iter().flatten().find(|name| check::name(name).is_ok()).unwrap_or(&who.provider);
        let id = self.insert_person(&mut scope, email, name, None).await?;
        self.join_identity(&mut scope, id, who).await?;
        let welcome = Content::default().with("name", name).with("tenant", name);
        self.mail(&mut scope, MailKind::Welcome, email, welcome).await?;
        self.found_tenant(scope, id, name).await?;
        Ok(id)
    }

    /// Seals what a browser is to bring back in a cookie.
    ///
    /// # Errors
    /// [`AuthError::Sealed`].
    pub fn seal_cookie(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, AuthError> {
        Ok(self.seal.seal(name, plain)?)
    }

    /// What was sealed in that cookie. `None`: weir did not seal it.
    #[must_use]
    pub fn open_cookie(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        self.seal.open(name, sealed).ok()
    }
}
