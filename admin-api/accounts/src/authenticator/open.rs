//! Opens a session, and makes access tokens for it.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::public_id::{PersonId, SessionId};

use super::mail::{self, MailKind};
use super::{Authenticator, Client, SignedIn};
use crate::access::{self, ACCESS_TOKEN_SECONDS, Subject};
use crate::auth_error::AuthError;
use crate::db::chain::{Chain, Note};
use crate::db::device;
use crate::db::membership::{self, TenantOfPerson};
use crate::db::scope::PlatformScope;
use crate::db::session::{self, OpenSession, Session};
use crate::db::{person, platform_member};
use crate::realm::Realm;
use crate::secret::{Purpose, SecretText};

/// Who was made so short a time ago signs in from a first device.
const NEW_PERSON: TimeDelta = TimeDelta::hours(1);

impl Authenticator {
    /// Opens a session for somebody who has shown all that is asked for, and commits. The scope holds the person
    /// ([`person::hold`]); the keys were read before it was opened, since reading them takes a connection.
    pub(super) async fn open_session(
        &self,
        mut scope: PlatformScope,
        ring: &access::KeyRing,
        id: PersonId,
        client: &Client,
        device_is_known: bool,
    ) -> Result<SignedIn, AuthError> {
        let now = scope.now();
        let person =
            person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(super::login::WRONG))?;
        let tenant = match self.realm {
            Realm::Tenants => membership::tenants_of(scope.connection(), id).await?.into_iter().next(),
            Realm::Platform => None,
        };
        let session = Session {
            id: SessionId::of_random(self.random.bytes()),
            user_agent: client.shown_user_agent(),
            address: client.address.map(|address| address.to_string()),
            country: self.country_of(client),
            created_at: now,
            last_seen_at: now,
        };
        let refresh = SecretText::make(Purpose::Refresh, &self.random);
        let (at, realm) = (tenant.as_ref().map(|tenant| tenant.tenant), self.realm);
        let of = OpenSession { id: session.id, person: id, tenant: at, realm };
        // Who has registered a moment ago needs no warning. Sessions of long ago were swept: that there is none says
        // nothing of a person who has been away.
        let is_first =
            now - person.created_at < NEW_PERSON && !session::has_any(scope.connection(), id).await?;
        let presented = client.device.as_deref().and_then(|text| SecretText::parse(Purpose::Device, text));
        let is_new = match presented.filter(|_| device_is_known) {
            Some(device) => device::begin_use(scope.connection(), id, &device.hash()).await?,
            None => !is_first,
        };
        if is_new {
            let content = mail::done_by(&scope, &person, client);
            self.mail(&mut scope, MailKind::NewDevice, &person.email, content).await?;
        }
        if !session::insert(scope.connection(), &session, of, &refresh.hash()).await? {
            return Err(AuthError::Refused(super::login::WRONG));
        }
        let device = if device_is_known {
            None
        } else {
            let made = SecretText::make(Purpose::Device, &self.random);
            device::remember(scope.connection(), id, &made.hash(), false, now).await?;
            Some(made)
        };
        scope.note(chain_of(of), Note::new("login", session.id).after(&session));
        let role = self.role_in(&mut scope, of, tenant.as_ref()).await?;
        let access_token = self.sign(ring, of, tenant.as_ref(), role, now)?;
        scope.commit().await?;
        Ok(SignedIn { access_token, expires_in: ACCESS_TOKEN_SECONDS, tenant, person, refresh, device })
    }

    fn country_of(&self, client: &Client) -> Option<String> {
        self.countries.as_ref()?.of(client.address?)
    }

    /// An access token for the session and the tenant that it works for.
    pub(super) fn sign(
        &self,
        ring: &access::KeyRing,
        session: OpenSession,
        tenant: Option<&TenantOfPerson>,
        role: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<String, AuthError> {
        let (person, session, tenant) = (session.person, session.id, tenant.map(|tenant| tenant.id));
        let subject = Subject { person, session, tenant, role, act: None };
        self.sign_for(ring, self.realm, subject, now)
    }

    pub(super) fn sign_for(
        &self,
        ring: &access::KeyRing,
        realm: Realm,
        subject: Subject,
        now: DateTime<Utc>,
    ) -> Result<String, AuthError> {
        let jti = data_encoding::HEXLOWER.encode(&self.random.bytes::<16>());
        access::sign(&ring.signs, &self.issuer, realm, subject, now, jti).ok_or(AuthError::Keys)
    }

    /// What the access token is to say of the person's role.
    ///
    /// # Errors
    /// [`AuthError::Refused`] for somebody who is none of the platform's on its listener.
    pub(super) async fn role_in(
        &self,
        scope: &mut PlatformScope,
        session: OpenSession,
        tenant: Option<&TenantOfPerson>,
    ) -> Result<Option<String>, AuthError> {
        match self.realm {
            Realm::Tenants => Ok(tenant.map(|tenant| tenant.role.clone())),
            Realm::Platform => {
                let role = platform_member::good_role_of(scope.connection(), session.person).await?;
                let role = role.ok_or(AuthError::Refused(super::login::WRONG))?;
                Ok(Some(role.as_str().to_owned()))
            }
        }
    }

    /// The tenant that the session works for, if the person is still a member of it; else another of the person's.
    pub(super) async fn tenant_of(
        &self,
        scope: &mut PlatformScope,
        session: OpenSession,
    ) -> Result<Option<TenantOfPerson>, AuthError> {
        if self.realm == Realm::Platform {
            return Ok(None);
        }
        let mut tenants = membership::tenants_of(scope.connection(), session.person).await?;
        let at = tenants.iter().position(|tenant| Some(tenant.tenant) == session.tenant).unwrap_or(0);
        Ok((at < tenants.len()).then(|| tenants.swap_remove(at)))
    }
}

/// Where what happens in a session is noted: with the tenant it works for.
pub(super) fn chain_of(session: OpenSession) -> Chain {
    session.tenant.map_or_else(|| Chain::of_person(session.person), Chain::Tenant)
}
