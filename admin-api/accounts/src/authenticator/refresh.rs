//! What goes on in a session: another access token, another tenant.

use serde::Serialize;

use super::open::chain_of;
use super::{Authenticator, Client, SignedInPerson};
use crate::access::ACCESS_TOKEN_SECONDS;
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::db::chain::Note;
use crate::db::membership::{self, TenantOfPerson};
use crate::db::scope::PlatformScope;
use crate::db::session::{self, GRACE, OpenSession, Which};
use crate::page::{Page, PageRequest};
use crate::secret::{Purpose, SecretText};

/// What every refresh token that is not taken is answered.
pub(super) const OVER: &str = "the session is over: sign in again";

/// Another access token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Refreshed {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Seconds that it is good for.
    pub expires_in: i64,
    /// Which tenant it is for, if the person is a member of any.
    pub tenant: Option<TenantOfPerson>,
    /// For the refresh cookie; `None`: the cookie is another tab's already.
    #[serde(skip)]
    pub refresh: Option<SecretText>,
}

impl Authenticator {
    /// Exchanges a refresh token. One that was exchanged before ends its session, except within ten seconds.
    ///
    /// # Errors
    /// [`AuthError::Refused`]; [`AuthError::Store`].
    pub async fn refresh(&self, presented: &str, client: &Client) -> Result<Refreshed, AuthError> {
        let old = SecretText::parse(Purpose::Refresh, presented).ok_or(AuthError::Refused(OVER))?.hash();
        let new = SecretText::make(Purpose::Refresh, &self.random);
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::System).await?;
        let now = scope.now();
        let (session, refresh) =
            match session::rotate(scope.connection(), self.realm, &old, &new.hash(), now).await? {
                Some(session) => (session, Some(new)),
                None => match session::of_superseded(scope.connection(), self.realm, &old, now).await? {
                    None => return Err(AuthError::Refused(OVER)),
                    Some((session, at)) if now - at <= GRACE => (session, None),
                    Some((session, _)) => return self.end_family(scope, session).await,
                },
            };
        let tenant = self.tenant_of(&mut scope, session).await?;
        let role = self.role_in(&mut scope, session, tenant.as_ref()).await?;
        let access_token = self.sign(&ring, session, tenant.as_ref(), role, now)?;
        scope.commit().await?;
        Ok(Refreshed { access_token, expires_in: ACCESS_TOKEN_SECONDS, tenant, refresh })
    }

    /// Somebody has a token that its owner has exchanged: one of the two has stolen it, so neither goes on.
    async fn end_family(
        &self,
        mut scope: PlatformScope,
        session: OpenSession,
    ) -> Result<Refreshed, AuthError> {
        let now = scope.now();
        session::end(scope.connection(), session.person, Which::One(session.id), "refresh_reuse", now)
            .await?;
        scope.note(chain_of(session), Note::new("refresh.reuse", session.id));
        scope.commit().await?;
        Err(AuthError::Refused(OVER))
    }

    /// A page of the person's tenants.
    ///
    /// # Errors
    /// [`AuthError::InvalidAt`], [`AuthError::Store`].
    pub async fn tenants(
        &self,
        who: &SignedInPerson,
        client: &Client,
        asked: &PageRequest,
    ) -> Result<Page<TenantOfPerson>, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        Ok(membership::list_of(scope.connection(), who.session.person, asked).await?)
    }

    /// An access token for another of the person's tenants, named by its public id or slug. The session stays with it.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] if the person is no member of such a tenant.
    pub async fn switch(
        &self,
        who: &SignedInPerson,
        tenant: &str,
        client: &Client,
    ) -> Result<Refreshed, AuthError> {
        let ring = self.ring().await?;
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        let now = scope.now();
        let tenants = membership::tenants_of(scope.connection(), who.session.person).await?;
        let found = tenants.into_iter().find(|of| of.slug == tenant || of.id.to_string() == tenant);
        let found = found.ok_or_else(|| AuthError::Invalid(format!("you are in no tenant {tenant}")))?;
        session::switch(scope.connection(), who.session.id, found.tenant).await?;
        let session = OpenSession { tenant: Some(found.tenant), ..who.session };
        let access_token = self.sign(&ring, session, Some(&found), Some(found.role.clone()), now)?;
        scope.note(chain_of(session), Note::new("session.switch", session.id));
        scope.commit().await?;
        let (expires_in, tenant) = (ACCESS_TOKEN_SECONDS, Some(found));
        Ok(Refreshed { access_token, expires_in, tenant, refresh: None })
    }
}
