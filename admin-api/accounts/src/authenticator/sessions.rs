//! The sessions of somebody who is signed in: listed, shown, ended.

use schemas::public_id::SessionId;
use serde::Serialize;

use super::open::chain_of;
use super::{Authenticator, Client, SignedInPerson};
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::client::device_name;
use crate::db::chain::Note;
use crate::db::session::{self, Session, Which};
use crate::page::{Page, PageRequest};

/// A session in a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ListedSession {
    /// Which.
    #[serde(flatten)]
    pub session: Session,
    /// What people call the device, as in `Firefox on Linux`.
    pub device: String,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

impl ListedSession {
    fn new(session: Session, who: &SignedInPerson) -> Self {
        let (device, is_current) = (device_name(&session.user_agent), session.id == who.session.id);
        Self { session, device, is_current }
    }
}

impl Authenticator {
    /// A page of the person's open sessions, the newest first.
    ///
    /// # Errors
    /// [`AuthError::InvalidAt`], [`AuthError::Store`].
    pub async fn sessions(
        &self,
        who: &SignedInPerson,
        client: &Client,
        asked: &PageRequest,
    ) -> Result<Page<ListedSession>, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        let now = scope.now();
        let sessions = session::list(scope.connection(), who.session.person, now, asked).await?;
        Ok(sessions.map(|session| ListedSession::new(session, who)))
    }

    /// One of the person's open sessions; `None`: the person has no such one.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn session(
        &self,
        who: &SignedInPerson,
        id: SessionId,
        client: &Client,
    ) -> Result<Option<ListedSession>, AuthError> {
        let mut scope = self.platform(client, Actor::Person(who.session.person)).await?;
        let now = scope.now();
        let found = session::find(scope.connection(), who.session.person, id, now).await?;
        Ok(found.map(|session| ListedSession::new(session, who)))
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
}
