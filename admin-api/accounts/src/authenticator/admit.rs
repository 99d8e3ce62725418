//! Whom a bearer token lets in. Session, membership and token are read in the request's own transaction: what was ended
//! a moment ago lets nobody in, on any node, and a database that does not answer lets nobody in either.

use chrono::TimeDelta;
use schemas::id::TenantId;
use schemas::lifecycle::TenantState;
use schemas::public_id::{PersonId, PublicTenantId};

use super::{Authenticator, Client};
use crate::access::{self, Claims};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::membership;
use crate::db::scope::{PlatformScope, Scope};
use crate::db::session::{self, OpenSession};
use crate::db::{machine_token, tenant};

use crate::grants::Grants;
use crate::secret::{Purpose, SecretText};

/// What every bearer that is not let in is answered.
pub(super) const NOBODY: &str = "sign in: the token is none of ours, has expired, or its session is over";
/// How exactly it is noted when a machine token was last used.
const USE_NOTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Somebody who may work in a tenant: the transaction, and what is permitted in it.
pub struct Admitted {
    /// A scope of the credential's tenant, which knows what that is now.
    pub scope: Scope,
    /// What the credential permits.
    pub grants: Grants,
}

/// A person with an open session.
#[derive(Debug, Clone, Copy)]
pub struct SignedInPerson {
    pub(super) session: OpenSession,
}

impl SignedInPerson {
    /// Who.
    #[must_use]
    pub fn person(&self) -> PersonId {
        self.session.person
    }
}

impl Authenticator {
    /// Opens a scope of the tenant that the bearer's credential is for. No other part of a request says which tenant.
    ///
    /// # Errors
    /// [`AuthError::Refused`] if the credential is not good now; [`AuthError::Store`].
    pub async fn admit(&self, bearer: &str, client: &Client) -> Result<Admitted, AuthError> {
        match SecretText::parse(Purpose::MachineToken, bearer) {
            Some(token) => self.admit_machine(&token, client).await,
            None => self.admit_person(bearer, client).await,
        }
    }

    /// The person behind an access token, for what is the person's own.
    ///
    /// # Errors
    /// As [`Authenticator::admit`].
    pub async fn signed_in(&self, bearer: &str, client: &Client) -> Result<SignedInPerson, AuthError> {
        let claims = self.verify(bearer).await?;
        let mut scope = self.platform(client, Actor::System).await?;
        if claims.act.is_some() {
            return Err(AuthError::Invalid(
                "an impersonation is of a tenant, and of nobody's own".to_owned(),
            ));
        }
        Ok(SignedInPerson { session: self.open_session_of(&mut scope, &claims).await? })
    }

    async fn admit_person(&self, bearer: &str, client: &Client) -> Result<Admitted, AuthError> {
        let claims = self.verify(bearer).await?;
        if let Some(acting) = claims.act {
            return self.admit_impersonator(&claims, acting, client).await;
        }
        let mut scope = self.platform(client, Actor::Person(claims.sub)).await?;
        self.open_session_of(&mut scope, &claims).await?;
        let (tenant, state) = Self::tenant_of_claim(&mut scope, claims.tenant).await?;
        let grants = membership::grants(scope.connection(), tenant, claims.sub).await?;
        let grants = grants.ok_or(AuthError::Refused(NOBODY))?;
        Ok(Admitted { scope: scope.enter_as(tenant, state, &grants).await?, grants })
    }

    async fn admit_machine(&self, token: &SecretText, client: &Client) -> Result<Admitted, AuthError> {
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let good = machine_token::find_good(scope.connection(), &token.hash(), now).await?;
        let mut good = good.ok_or(AuthError::Refused(NOBODY))?;
        if good.last_used_at.is_none_or(|at| now - at >= USE_NOTED_EVERY) {
            machine_token::note_use(scope.connection(), good.tenant, good.id, now).await?;
            scope.commit().await?;
            scope = self.platform(client, Actor::System).await?;
            // This is the request's transaction.
            let again = machine_token::find_good(scope.connection(), &token.hash(), now).await?;
            good = again.ok_or(AuthError::Refused(NOBODY))?;
        }
        let caller = scope.caller().acting_as(Actor::Token(good.id));
        scope.acting_as(caller);
        let state = tenant::state(scope.connection(), good.tenant).await?;
        let state = state.ok_or(AuthError::Refused(NOBODY))?;
        let scope = scope.enter_as(good.tenant, state, &good.grants).await?;
        Ok(Admitted { scope, grants: good.grants })
    }

    pub(super) async fn verify(&self, bearer: &str) -> Result<Claims, AuthError> {
        let refuse = |why: access::NotTaken| {
            tracing::debug!(%why, "an access token was refused");
            AuthError::Refused(NOBODY)
        };
        let kid = access::kid_of(bearer).map_err(refuse)?;
        let ring = self.ring_with(&kid).await?;
        let key = ring.find(&kid).ok_or(access::NotTaken::UnknownKey).map_err(refuse)?;
        access::verify(key, &self.issuer, self.realm, bearer, self.now()).map_err(refuse)
    }

    pub(super) async fn open_session_of(
        &self,
        scope: &mut PlatformScope,
        claims: &Claims,
    ) -> Result<OpenSession, AuthError> {
        let now = scope.now();
        let open = session::find_open(scope.connection(), self.realm, claims.sid, now).await?;
        open.filter(|open| open.person == claims.sub).ok_or(AuthError::Refused(NOBODY))
    }

    pub(super) async fn tenant_of_claim(
        scope: &mut PlatformScope,
        claim: Option<PublicTenantId>,
    ) -> Result<(TenantId, TenantState), AuthError> {
        let Some(id) = claim else { return Err(AuthError::Refused(NOBODY)) };
        tenant::by_public_id(scope, id).await?.ok_or(AuthError::Refused(NOBODY))
    }
}
