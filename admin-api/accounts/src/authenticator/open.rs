//! Opens a session, and makes access tokens for it.

use schemas::public_id::{PersonId, SessionId};

use super::mail::{self, MailKind};
use super::{Authenticator, Client, SignedIn};
use crate::access::{self, ACCESS_TOKEN_SECONDS, Subject};
use crate::auth_error::AuthError;
use crate::db::chain::{Chain, Note};
use crate::db::device;
use crate::db::membership::{self, TenantOfPerson};
use crate::db::person;
use crate::db::scope::PlatformScope;
use crate::db::session::{self, OpenSession, Session};
use crate::secret::{Purpose, SecretText};

impl Authenticator {
    /// Opens a session for somebody who has shown all that is asked for, and commits.
    pub(super) async fn open_session(
        &self,
        mut scope: PlatformScope,
        id: PersonId,
        client: &Client,
        device_is_known: bool,
    ) -> Result<SignedIn, AuthError> {
        let ring = self.ring().await?;
        let now = scope.now();
        let person =
            person::by_id(scope.connection(), id).await?.ok_or(AuthError::Refused(super::login::WRONG))?;
        let tenant = membership::tenants_of(scope.connection(), id).await?.into_iter().next();
        let session = Session {
            id: SessionId::of_random(self.random.bytes()),
            user_agent: client.shown_user_agent(),
            address: client.address.map(|address| address.to_string()),
            country: None,
            created_at: now,
            last_seen_at: now,
        };
        let refresh = SecretText::make(Purpose::Refresh, &self.random);
        let of =
            OpenSession { id: session.id, person: id, tenant: tenant.as_ref().map(|tenant| tenant.tenant) };
        // Who has registered a moment ago needs no warning.
        if !device_is_known && session::has_any(scope.connection(), id).await? {
            let content = mail::done_by(&scope, &person, client);
            self.mail(&mut scope, MailKind::NewDevice, &person.email, content).await?;
        }
        session::insert(scope.connection(), &session, of, &refresh.hash()).await?;
        let device = if device_is_known {
            None
        } else {
            let made = SecretText::make(Purpose::Device, &self.random);
            device::remember(scope.connection(), id, &made.hash(), now).await?;
            Some(made)
        };
        scope.note(chain_of(of), Note::new("login", session.id).after(&session));
        let access_token = self.sign(&ring, of, tenant.as_ref(), now)?;
        scope.commit().await?;
        Ok(SignedIn { access_token, expires_in: ACCESS_TOKEN_SECONDS, tenant, person, refresh, device })
    }

    /// An access token for the session and the tenant that it works for.
    pub(super) fn sign(
        &self,
        ring: &access::KeyRing,
        session: OpenSession,
        tenant: Option<&TenantOfPerson>,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<String, AuthError> {
        let subject = Subject {
            person: session.person,
            session: session.id,
            tenant: tenant.map(|tenant| tenant.id),
            role: tenant.map(|tenant| tenant.role.clone()),
        };
        let jti = data_encoding::HEXLOWER.encode(&self.random.bytes::<16>());
        access::sign(&ring.signs, &self.issuer, subject, now, jti).ok_or(AuthError::Keys)
    }

    /// The tenant that the session works for, if the person is still a member of it; else another of the person's.
    pub(super) async fn tenant_of(
        &self,
        scope: &mut PlatformScope,
        session: OpenSession,
    ) -> Result<Option<TenantOfPerson>, AuthError> {
        let mut tenants = membership::tenants_of(scope.connection(), session.person).await?;
        let at = tenants.iter().position(|tenant| Some(tenant.tenant) == session.tenant).unwrap_or(0);
        Ok((at < tenants.len()).then(|| tenants.swap_remove(at)))
    }
}

/// Where what happens in a session is noted: with the tenant it works for.
pub(super) fn chain_of(session: OpenSession) -> Chain {
    session.tenant.map_or_else(|| Chain::of_person(session.person), Chain::Tenant)
}
