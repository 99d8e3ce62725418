//! Becoming a person, and a member. What is answered does not say whether an address is known.

use schemas::permission::BuiltInRole;
use schemas::public_id::{MembershipId, PersonId};
use serde::{Deserialize, Serialize};
use service::config::Secret;

use super::mail::{Content, MailKind};
use super::{Authenticator, Client};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::check;
use crate::db::attempt::{self, Guarded};
use crate::db::chain::Note;
use crate::db::invitation::{self, Accepted, NotAccepted};
use crate::db::membership::{self, Role, TenantOfPerson};
use crate::db::one_time::{self, Behind, OneTime};
use crate::db::person::{self, Person};
use crate::db::scope::{PlatformScope, Scope};
use crate::db::tenant;
use crate::error::AccountError;
use crate::password;
use crate::secret::{Purpose, SecretText};

/// What every wrong, used or expired link is answered.
pub(super) const LINK: &str = "the link was used or has expired: ask for another one";

/// Who wants to become a person.
pub struct Registration {
    /// Address for mails.
    pub email: String,
    /// The password.
    pub password: Secret,
    /// What the person is called.
    pub name: String,
    /// What the person's tenant is called.
    pub tenant_name: String,
}

/// What a link of registration stands for.
#[derive(Serialize, Deserialize)]
struct Pending {
    email: String,
    name: String,
    password_hash: String,
    tenant_name: String,
}

impl From<NotAccepted> for AuthError {
    fn from(why: NotAccepted) -> Self {
        match why {
            NotAccepted::NotOpen => Self::Refused(LINK),
            NotAccepted::Frozen => Self::Frozen,
            NotAccepted::Void => Self::Void,
            NotAccepted::Store(error) => Self::Store(error),
        }
    }
}

impl Authenticator {
    /// Takes a registration and sends a mail: with a link, or, if the address is known, with the advice to sign in.
    /// Either way the
    /// same is computed and the same number of rows is written.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for what is wrong whatever is known; [`AuthError::Busy`], [`AuthError::Store`].
    pub async fn register(&self, new: Registration, client: &Client) -> Result<(), AuthError> {
        let email = check::email(&new.email)?;
        check::name(&new.name)?;
        check::name_at("tenant_name", &new.tenant_name)?;
        password::check(&new.password, &[&email, &new.name, &new.tenant_name])?;
        let password_hash = self.hasher.hash(new.password, self.random.bytes()).await?;
        let mut scope = self.platform(client, Actor::System).await?;
        if !self.may_mail(&mut scope, &email, client).await? {
            return Ok(scope.commit().await?);
        }
        let is_known = person::credentials(scope.connection(), &email).await?.is_some();
        let token = SecretText::make(Purpose::OneTime, &self.random);
        let pending =
            Pending { email: email.clone(), name: new.name, password_hash, tenant_name: new.tenant_name };
        let payload =
            serde_json::to_string(&pending).map_err(|error| AuthError::Invalid(error.to_string()))?;
        let (behind, now) = (Behind { person: None, payload: Some(payload) }, scope.now());
        one_time::insert(scope.connection(), OneTime::Register, &token.hash(), &behind, now).await?;
        let (kind, content) = match is_known {
            true => (MailKind::AddressKnown, Content::default()),
            false => (MailKind::VerifyEmail, Content::link(&token)),
        };
        self.mail(&mut scope, kind, &email, content).await?;
        Ok(scope.commit().await?)
    }

    /// Makes person, tenant, owner's membership and project `default`, as the link's registration says. Or gives a
    /// person the address that the link was sent to.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a link that is none, was used, or is too old; [`AuthError::Invalid`] if the address
    /// has become known since.
    pub async fn verify_email(&self, token: &str, client: &Client) -> Result<PersonId, AuthError> {
        let token = SecretText::parse(Purpose::OneTime, token).ok_or(AuthError::Refused(LINK))?.hash();
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        if let Some(behind) = one_time::spend(scope.connection(), OneTime::ChangeEmail, &token, now).await? {
            return self.change_email(scope, behind, client).await;
        }
        let behind = one_time::spend(scope.connection(), OneTime::Register, &token, now).await?;
        let pending = behind.and_then(|behind| serde_json::from_str(&behind.payload?).ok());
        let Pending { email, name, password_hash, tenant_name } = pending.ok_or(AuthError::Refused(LINK))?;
        let person = self.insert_person(&mut scope, &email, &name, Some(&password_hash)).await?;
        let welcome = Content::default().with("name", &name).with("tenant", &tenant_name);
        self.mail(&mut scope, MailKind::Welcome, &email, welcome).await?;
        self.found_tenant(scope, person, &tenant_name).await?;
        Ok(person)
    }

    /// Makes a tenant that the person owns, and commits.
    pub(super) async fn found_tenant(
        &self,
        mut scope: PlatformScope,
        person: PersonId,
        name: &str,
    ) -> Result<(), AuthError> {
        Self::acting_as(&mut scope, person);
        let tenant = tenant::found(&mut scope, &self.random, name).await?;
        let mut scope = scope.enter(tenant).await?;
        self.join(&mut scope, person, Role::BuiltIn(BuiltInRole::Owner)).await?;
        Ok(scope.commit().await?)
    }

    /// Makes a person and the membership that an invitation is for: its link shows that the address is the person's.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a link that is not open; [`AuthError::Frozen`] and [`AuthError::Void`];
    /// [`AuthError::Invalid`] for a weak password, or an address that is known: its person signs in and accepts.
    pub async fn register_invited(
        &self,
        token: &str,
        name: &str,
        password: Secret,
        client: &Client,
    ) -> Result<PersonId, AuthError> {
        check::name(name)?;
        let token = SecretText::parse(Purpose::Invitation, token).ok_or(AuthError::Refused(LINK))?.hash();
        password::check(&password, &[name])?;
        let password_hash = self.hasher.hash(password, self.random.bytes()).await?;
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let accepted = invitation::accept(scope.connection(), &token, now).await?;
        let person = self.insert_person(&mut scope, &accepted.email, name, Some(&password_hash)).await?;
        let welcome = Content::default().with("name", name).with("tenant", &accepted.tenant_title);
        self.mail(&mut scope, MailKind::Joined, &accepted.email, welcome).await?;
        Self::acting_as(&mut scope, person);
        let scope = self.join_invited(scope, person, &accepted).await?;
        scope.commit().await?;
        Ok(person)
    }

    /// Makes somebody who is signed in a member, as an invitation of the same address says.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a link that is not open, or of another address; [`AuthError::Frozen`] and
    /// [`AuthError::Void`].
    pub async fn accept_invitation(
        &self,
        person: PersonId,
        token: &str,
        client: &Client,
    ) -> Result<TenantOfPerson, AuthError> {
        let token = SecretText::parse(Purpose::Invitation, token).ok_or(AuthError::Refused(LINK))?.hash();
        let mut scope = self.platform(client, Actor::Person(person)).await?;
        let now = scope.now();
        let accepted = invitation::accept(scope.connection(), &token, now).await?;
        let known = person::by_id(scope.connection(), person).await?;
        if known.is_none_or(|known| known.email != accepted.email) {
            return Err(AuthError::Refused(LINK));
        }
        let mut scope = self.join_invited(scope, person, &accepted).await?;
        let tenants = membership::tenants_of(scope.connection(), person).await?;
        let joined = tenants.into_iter().find(|of| of.tenant == accepted.tenant);
        scope.commit().await?;
        joined.ok_or(AuthError::Refused(LINK))
    }

    /// Makes the person a member of the tenant of an invitation, in which the scope is from then on.
    async fn join_invited(
        &self,
        scope: PlatformScope,
        person: PersonId,
        accepted: &Accepted,
    ) -> Result<Scope, AuthError> {
        let mut scope = scope.enter(accepted.tenant).await?;
        invitation::hold_maker(&mut scope, accepted).await?;
        scope.note(Note::new("invitation.accept", accepted.id).after(&accepted.email));
        self.join(&mut scope, person, accepted.role).await?;
        Ok(scope)
    }

    pub(super) async fn insert_person(
        &self,
        scope: &mut PlatformScope,
        email: &str,
        name: &str,
        password_hash: Option<&str>,
    ) -> Result<PersonId, AuthError> {
        let id = PersonId::of_random(self.random.bytes());
        let (email, name, created_at) = (email.to_owned(), name.to_owned(), scope.now());
        let person = Person { id, email, name, created_at };
        if !person::insert(scope, &person, password_hash).await? {
            return Err(AuthError::Invalid("the address is registered already: sign in".to_owned()));
        }
        Ok(id)
    }

    /// What follows is done by the person who has just come to be.
    fn acting_as(scope: &mut PlatformScope, person: PersonId) {
        let caller = scope.caller().acting_as(Actor::Person(person));
        scope.acting_as(caller);
    }

    pub(super) async fn join(
        &self,
        scope: &mut Scope,
        person: PersonId,
        role: Role,
    ) -> Result<(), AccountError> {
        let id = MembershipId::of_random(self.random.bytes());
        scope.note(Note::new("person.join", person));
        membership::insert(scope, id, person, role).await
    }

    /// Whether another mail may be sent because somebody typed that address. If not, nobody is shown that.
    pub(super) async fn may_mail(
        &self,
        scope: &mut PlatformScope,
        email: &str,
        client: &Client,
    ) -> Result<bool, AuthError> {
        let now = scope.now();
        if let Some(source) = client.source() {
            let counted = attempt::count(scope.connection(), Guarded::Source(&source), now).await?;
            counted.map_err(|seconds| AuthError::Wait { seconds })?;
        }
        Ok(attempt::count(scope.connection(), Guarded::Mail(email), now).await?.is_ok())
    }
}
