//! People of the platform: let in on the operators' listener, and into a tenant as one of the tenant's people would be.

use std::sync::Arc;

use schemas::permission::PlatformRole;
use schemas::public_id::{PersonId, PublicTenantId};
use serde::Serialize;

use super::admit::{Admitted, NOBODY};
use super::{Authenticator, Client};
use crate::access::{Acting, Claims, IMPERSONATION_SECONDS, KeyRing, Subject};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::chain::Note;
use crate::db::scope::PlatformScope;
use crate::db::session::{self, OpenSession};
use crate::db::{platform_member, tenant};
use crate::grants::Grants;
use crate::realm::Realm;

/// Somebody of the platform who has signed in.
pub struct AdmittedPlatform {
    /// A scope of all tenants.
    pub scope: PlatformScope,
    /// What the person may do.
    pub role: PlatformRole,
    /// The session.
    session: OpenSession,
    /// Read before the scope was opened, since reading them takes a connection.
    ring: Arc<KeyRing>,
}

/// An access token for the tenants' listener, in a tenant of which the person is no member.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Impersonation {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Seconds that it is good for, if the operator's session is open for so long.
    pub expires_in: i64,
    /// Where.
    pub tenant: PublicTenantId,
    /// Who acts.
    pub impersonator: PersonId,
}

impl Authenticator {
    /// Opens a scope of all tenants for somebody of the platform. Role and second factor are read again each time.
    ///
    /// # Errors
    /// [`AuthError::Refused`] if the credential is not good now; [`AuthError::Store`].
    pub async fn admit_platform(&self, bearer: &str, client: &Client) -> Result<AdmittedPlatform, AuthError> {
        let claims = self.verify(bearer).await?;
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::Person(claims.sub)).await?;
        let session = self.open_session_of(&mut scope, &claims).await?;
        let role = platform_member::good_role_of(scope.connection(), claims.sub).await?;
        let role = role.ok_or(AuthError::Refused(NOBODY))?;
        Ok(AdmittedPlatform { scope, role, session, ring })
    }

    /// An access token for that tenant. It is noted in the tenant's audit.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if there is no such tenant; [`AuthError::Store`], [`AuthError::Keys`].
    pub async fn impersonate(
        &self,
        admitted: AdmittedPlatform,
        named: &str,
    ) -> Result<Impersonation, AuthError> {
        let AdmittedPlatform { scope, role, session, ring } = admitted;
        let now = scope.now();
        let mut scope = tenant::enter(scope, named).await?;
        let id = tenant::public_id(&mut scope).await?;
        let person = session.person;
        let subject = Subject {
            person,
            session: session.id,
            tenant: Some(id),
            role: Some(role.as_str().to_owned()),
            act: Some(Acting { sub: person }),
        };
        let access_token = self.sign_for(&ring, Realm::Tenants, subject, now)?;
        let after = serde_json::json!({"role": role, "session": session.id});
        scope.note(Note::new("tenant.impersonate", id).after(&after));
        scope.commit().await?;
        Ok(Impersonation {
            access_token,
            expires_in: IMPERSONATION_SECONDS,
            tenant: id,
            impersonator: person,
        })
    }

    /// Who acts in a tenant with that bearer's credential, whether or not it lets anybody in now; `None`: nobody of the
    /// platform.
    pub async fn impersonator(&self, bearer: &str) -> Option<PersonId> {
        self.verify(bearer).await.ok()?.act.map(|acting| acting.sub)
    }

    /// Lets in somebody of the platform who acts in a tenant, for as long as the session on the operators' listener is
    /// open.
    pub(super) async fn admit_impersonator(
        &self,
        claims: &Claims,
        acting: Acting,
        client: &Client,
    ) -> Result<Admitted, AuthError> {
        let person = acting.sub;
        let mut scope = self.platform(client, Actor::Impersonator(person)).await?;
        let now = scope.now();
        let open = session::find_open(scope.connection(), Realm::Platform, claims.sid, now).await?;
        if open.is_none_or(|open| open.person != person) {
            return Err(AuthError::Refused(NOBODY));
        }
        let role = platform_member::good_role_of(scope.connection(), person).await?;
        let role = role.ok_or(AuthError::Refused(NOBODY))?;
        // In whatever state it is: operators look at frozen and closed tenants, too.
        let (tenant, _) = Self::tenant_of_claim(&mut scope, claims.tenant).await?;
        let (scope, grants) = (scope.enter(tenant).await?, Grants::of_impersonator(role));
        Ok(Admitted { scope, grants })
    }
}
