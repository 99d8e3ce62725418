//! Requests that are carried out once, however often they are sent: what `Idempotency-Key` asks for.
//!
//! A request with a key is claimed in the transaction that it then works in. Its commit waits for the reply, which is
//! written in the same transaction: after a crash there is both, the change and what to answer to the next attempt, or
//! neither. Replies are sealed, since some show a secret. Refusals are not kept: they have changed nothing. A refusal
//! is answered when its claim has ended, so that the next attempt finds the request free.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::db::idempotent_request::{self, Claim, ClaimedRequest, KeptReply, Waiting};
use crate::db::scope::{Reach, Scope};
use crate::error::AccountError;
use crate::seal::SealKey;

/// A request that carries a key.
#[derive(Clone)]
pub struct Once {
    /// Method and path, as in the table of routes.
    pub route: String,
    /// The key.
    pub key: String,
    /// SHA-256 of everything else that the request asks for.
    pub request_hash: [u8; 32],
    /// What seals replies.
    pub seal: Arc<SealKey>,
    /// Where the commit waits for the reply.
    pub waiting: Waiting,
}

/// Why a request with a key is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum NotClaimed {
    /// It was carried out already, and was answered this.
    #[error("it was carried out already")]
    Done(KeptReply),
    /// The same request has not ended.
    #[error("the same request is still running: ask again soon")]
    Running,
    /// The key stands for another request.
    #[error("the idempotency key was used for another request: take a new one")]
    Reused,
    /// It was carried out, and what it was answered can't be read any more.
    #[error("the request was carried out, but its reply was sealed under another key: look what there is")]
    Sealed,
    /// Postgres failed.
    #[error(transparent)]
    Account(#[from] AccountError),
}

impl From<sqlx::Error> for NotClaimed {
    fn from(error: sqlx::Error) -> Self {
        Self::Account(error.into())
    }
}

impl<Of: Reach> Scope<Of> {
    /// Claims the request: from here on it is this scope that carries it out, or nobody does. Its commit waits. A kept
    /// reply is given to who may see all of it now, and to nobody else.
    ///
    /// # Errors
    /// [`NotClaimed`].
    pub async fn claim(&mut self, once: &Once) -> Result<(), NotClaimed> {
        let (id, now) = (self.id_of(once), self.now());
        if !idempotent_request::try_lock(self.connection(), &id).await? {
            return Err(NotClaimed::Running);
        }
        once.waiting.claimed(id);
        let found = idempotent_request::find(self.connection(), &id, now).await?;
        let Once { request_hash, seal, waiting, .. } = once.clone();
        let projects = self.reach().projects().map(<[_]>::to_vec);
        let request = ClaimedRequest { id, request_hash, projects, seal };
        let Some((request_hash, sealed)) = found else {
            self.defer(Claim { request, waiting });
            return Ok(());
        };
        if request_hash != once.request_hash {
            return Err(NotClaimed::Reused);
        }
        Err(request.open(&sealed)?.map_or(NotClaimed::Sealed, NotClaimed::Done))
    }

    /// Of tenant, caller, route and key.
    fn id_of(&self, once: &Once) -> [u8; 32] {
        let tenant = self.reaches().map_or_else(String::new, |tenant| tenant.to_string());
        let caller = self.caller().actor.to_string();
        let mut hash = Sha256::new();
        for part in [&tenant, &caller, &once.route, &once.key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}
