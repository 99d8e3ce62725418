//! What is a person's own: name, address, what mails they want.

use schemas::permission::Permission;
use schemas::public_id::{PersonId, SessionId};
use serde::Serialize;

use super::mail::{self, Content, MailKind};
use super::register::LINK;
use super::{Authenticator, Client, Proof, SignedInPerson};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::membership::{self, TenantOfPerson};
use crate::db::muted_mail::{self, WantedMails, WantedMailsChange};
use crate::db::one_time::{self, Behind, OneTime};
use crate::db::passkey;
use crate::db::person::{self, Person};
use crate::db::scope::PlatformScope;
use crate::db::second_factor;
use crate::grants::Grants;
use crate::secret::{Purpose, SecretText};

/// A person, and what they work with at the moment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Me {
    /// Who.
    #[serde(flatten)]
    pub person: Person,
    /// The session that asks.
    pub session: SessionId,
    /// The tenant that the session works for, if the person is a member of it.
    pub tenant: Option<TenantAtWork>,
    /// Whether there is a password: who signs in through an OpenID provider may have none.
    pub has_password: bool,
    /// What is asked for at a sign-in beyond the password.
    pub second_factors: SecondFactors,
}

/// A tenant, and what the person may do there.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TenantAtWork {
    /// Which.
    #[serde(flatten)]
    pub tenant: TenantOfPerson,
    /// What the role permits while the tenant is what it is: in one that is frozen, closed or deleted, little or
    /// nothing.
    pub permissions: Vec<Permission>,
    /// Whether that is so for some of its projects only.
    pub limited: bool,
}

/// What second factors a person has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SecondFactors {
    /// Whether codes of an app are asked for.
    pub totp: bool,
    /// Passkeys.
    pub passkeys: i64,
    /// Recovery codes that are left.
    pub recovery_codes_left: i64,
}

impl Authenticator {
    /// Who it is.
    ///
    /// # Errors
    /// [`AuthError::Refused`] if there is no such person any more; [`AuthError::Store`].
    pub async fn me(&self, who: &SignedInPerson, client: &Client) -> Result<Me, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        self.me_in(&mut scope, who).await
    }

    pub(super) async fn me_in(
        &self,
        scope: &mut PlatformScope,
        who: &SignedInPerson,
    ) -> Result<Me, AuthError> {
        let id = who.session.person;
        let person = person::by_id(scope.connection(), id).await?;
        let person = person.ok_or(AuthError::Refused(super::refresh::OVER))?;
        let second_factors = SecondFactors {
            totp: self.has_totp(scope, id).await?,
            passkeys: passkey::count(scope.connection(), id).await?,
            recovery_codes_left: second_factor::recovery_codes_left(scope.connection(), id).await?,
        };
        let tenants = membership::tenants_of(scope.connection(), id).await?;
        let at_work = tenants.into_iter().find(|of| Some(of.tenant) == who.session.tenant);
        let tenant = match at_work {
            Some(tenant) => {
                let grants = membership::grants(scope.connection(), tenant.tenant, id).await?;
                grants.map(|Grants { mut permissions, projects, .. }| {
                    permissions.retain(|permission| tenant.status.admits(*permission));
                    TenantAtWork { tenant, permissions, limited: projects.is_some() }
                })
            }
            None => None,
        };
        let credentials = person::credentials(scope.connection(), &person.email).await?;
        let has_password = credentials.is_some_and(|known| known.password_hash.is_some());
        Ok(Me { person, session: who.session.id, tenant, has_password, second_factors })
    }

    /// Calls the person something else.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for what is no name; as [`Authenticator::me`].
    pub async fn rename(&self, who: &SignedInPerson, name: &str, client: &Client) -> Result<Me, AuthError> {
        check::name(name)?;
        let id = who.session.person;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        person::lock(scope.connection(), id).await?;
        let before = self.me_in(&mut scope, who).await?;
        scope.check(&before)?;
        person::set_name(scope.connection(), id, name).await?;
        let note = Note::new("person.change", id).before(&before.person.name).after(&name);
        scope.note(Chain::of_person(id), note);
        let after = self.me_in(&mut scope, who).await?;
        scope.commit().await?;
        Ok(after)
    }

    /// Sends a mail with a link to an address that the person wants to have, and notice to the one that they have.
    /// Nobody is shown whether the new one is known: as much is computed and written in either case.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for a wrong proof; [`AuthError::Invalid`] for what is no address, or no other one.
    pub async fn ask_email_change(
        &self,
        who: &SignedInPerson,
        email: &str,
        proof: Proof,
        client: &Client,
    ) -> Result<(), AuthError> {
        let (id, email) = (who.session.person, check::email(email)?);
        let known = self.ask_again(id, proof, client).await?;
        if known.email == email {
            return Err(AuthError::Invalid("that is your address already".to_owned()));
        }
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        let now = scope.now();
        if !self.may_mail(&mut scope, &email, client).await? {
            return Ok(scope.commit().await?);
        }
        let is_known = person::credentials(scope.connection(), &email).await?.is_some();
        let token = SecretText::make(Purpose::OneTime, &self.random);
        let behind = Behind { person: Some(id), payload: Some(email.clone()) };
        one_time::forget(scope.connection(), OneTime::ChangeEmail, id).await?;
        one_time::insert(scope.connection(), OneTime::ChangeEmail, &token.hash(), &behind, now).await?;
        let (kind, content) = match is_known {
            true => (MailKind::AddressKnown, Content::default()),
            false => (MailKind::ConfirmEmail, Content::link(&token).with("name", &known.name)),
        };
        self.mail(&mut scope, kind, &email, content).await?;
        let notice = mail::done_by(&scope, &known, client).with("new_email", &email);
        self.mail(&mut scope, MailKind::EmailChangeAsked, &known.email, notice).await?;
        scope.note(Chain::of_person(id), Note::new("email.ask", id).after(&email));
        Ok(scope.commit().await?)
    }

    /// Gives the person the address to which the link was sent that is being followed.
    pub(super) async fn change_email(
        &self,
        mut scope: PlatformScope,
        behind: Behind,
        client: &Client,
    ) -> Result<PersonId, AuthError> {
        let Behind { person: Some(id), payload: Some(email) } = behind else {
            return Err(AuthError::Refused(LINK));
        };
        let known = person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(LINK))?;
        let caller = scope.caller().acting_as(Actor::Person(id));
        scope.acting_as(caller);
        person::set_email(scope.connection(), id, &email).await?;
        // Links that went to the old address are not the person's any more.
        one_time::forget(scope.connection(), OneTime::ResetPassword, id).await?;
        let notice = mail::done_by(&scope, &known, client).with("new_email", &email);
        self.mail(&mut scope, MailKind::EmailChanged, &known.email, notice).await?;
        let note = Note::new("email.change", id).before(&known.email).after(&email);
        scope.note(Chain::of_person(id), note);
        scope.commit().await?;
        Ok(id)
    }

    /// What mails the person wants.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn wanted_mails(
        &self,
        who: &SignedInPerson,
        client: &Client,
    ) -> Result<WantedMails, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        Ok(muted_mail::wanted(scope.connection(), who.session.person).await?)
    }

    /// Changes what mails the person wants.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn change_wanted_mails(
        &self,
        who: &SignedInPerson,
        change: WantedMailsChange,
        client: &Client,
    ) -> Result<WantedMails, AuthError> {
        let id = who.session.person;
        let mut scope = self.platform(client, Actor::Person(id)).await?;
        person::lock(scope.connection(), id).await?;
        let before = muted_mail::wanted(scope.connection(), id).await?;
        scope.check(&before)?;
        muted_mail::change(scope.connection(), id, change).await?;
        let after = muted_mail::wanted(scope.connection(), id).await?;
        if before != after {
            scope.note(
                Chain::of_person(id),
                Note::new("notifications.change", id).before(&before).after(&after),
            );
        }
        scope.commit().await?;
        Ok(after)
    }
}
