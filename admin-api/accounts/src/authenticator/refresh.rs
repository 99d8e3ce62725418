//! What goes on in a session: another access token, another tenant, the end.

use schemas::public_id::SessionId;
use serde::Serialize;

use super::open::chain_of;
use super::{Authenticator, Client, ListedSession, SignedInPerson};
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

    /// Ends the session, and with it its access tokens on every node.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn logout(&self, who: &SignedInPerson, client: &Client) -> Result<(), AuthError> {
        self.end_sessions(who, Which::One(who.session.id), "logout", client).await.map(|_| ())
    }

    /// Ends one session of the person. `false`: the person has no such open session.
    ///
    /// # Errors
    /// [`AuthError::Changed`]; [`AuthError::Store`].
    pub async fn end_session(
        &self,
        who: &SignedInPerson,
        id: SessionId,
        client: &Client,
    ) -> Result<bool, AuthError> {
        Ok(self.end_sessions(who, Which::One(id), "ended", client).await? > 0)
    }

    /// Ends all other sessions of the person.
    ///
    /// # Errors
    /// [`AuthError::Changed`] if the first page of sessions is not what the client expects; [`AuthError::Store`].
    pub async fn end_other_sessions(&self, who: &SignedInPerson, client: &Client) -> Result<(), AuthError> {
        self.end_sessions(who, Which::AllExcept(who.session.id), "ended", client).await.map(|_| ())
    }

    async fn end_sessions(
        &self,
        who: &SignedInPerson,
        which: Which,
        why: &str,
        client: &Client,
    ) -> Result<u64, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        let (person, now) = (who.session.person, scope.now());
        match which {
            Which::One(id) => {
                let before = session::find(scope.connection(), person, id, now).await?;
                let Some(before) = before else { return Ok(0) };
                scope.check(&ListedSession::new(before, who))?;
            }
            // What is deleted is the list, so it is the list that the client has read.
            Which::AllExcept(_) | Which::All => {
                let before = session::list(scope.connection(), person, now, &PageRequest::default()).await?;
                scope.check(&before.map(|session| ListedSession::new(session, who)))?;
            }
        }
        let ended = session::end(scope.connection(), person, which, why, now).await?;
        let after = serde_json::json!({"ended": ended, "why": why});
        scope.note(chain_of(who.session), Note::new("session.end", person).after(&after));
        scope.commit().await?;
        Ok(ended)
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
