//! What operators do to jobs and mails, noted in the audit.

use chrono::{DateTime, Utc};
use jobs::{Filter, JobState, SeenJob};
use schemas::public_id::{JobId, MessageId};
use service::store::StoreError;

use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::scope::PlatformScope;
use crate::db::suppression::Suppressed;
use crate::db::{outbox, suppression};
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// Postgres's code for a key that is there already.
const UNIQUE: &str = "23505";

impl Listed for SeenJob {
    const LIST: &'static str = "jobs";
    type Key = (DateTime<Utc>, JobId);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id)
    }
}

/// Jobs that are open or dead, the newest first: of that kind and in that state, if these are named.
///
/// # Errors
/// [`AccountError::InvalidAt`] for a cursor of another list; if Postgres fails.
pub async fn list(
    scope: &mut PlatformScope,
    kind: Option<&str>,
    state: Option<JobState>,
    page: &PageRequest,
) -> Result<Page<SeenJob>, AccountError> {
    let filter = Filter { kind: kind.map(ToOwned::to_owned), state, before: page.after::<SeenJob>()? };
    Ok(page.page(jobs::list(scope.connection(), &filter, page.rows()).await?))
}

/// A job that is open or dead.
///
/// # Errors
/// [`AccountError::NotFound`] if it is done, or there was none.
pub async fn show(scope: &mut PlatformScope, id: JobId) -> Result<SeenJob, AccountError> {
    let found = jobs::find(scope.connection(), id).await?;
    found.ok_or_else(|| AccountError::NotFound(format!("job {id}")))
}

/// Lets a job that waits or is dead run at once, with all its attempts before it.
///
/// # Errors
/// [`AccountError::NotFound`] if there is no such job, or it runs; [`AccountError::Exists`] if another one does the
/// same already.
pub async fn retry(scope: &mut PlatformScope, id: JobId) -> Result<SeenJob, AccountError> {
    let retried = jobs::retry(scope.connection(), id).await.map_err(|error| of_retry(error, id))?;
    if !retried {
        return Err(AccountError::NotFound(format!("job {id} that waits or is dead")));
    }
    scope.note(Chain::OPERATORS, Note::new("job.retry", id));
    show(scope, id).await
}

fn of_retry(error: StoreError, id: JobId) -> AccountError {
    match error.postgres_code() {
        Some(code) if code == UNIQUE => AccountError::Exists(format!("another job that does what {id} did")),
        _ => error.into(),
    }
}

/// Gives up a job that waits or is dead, for good.
///
/// # Errors
/// [`AccountError::NotFound`] if there is no such job, or it runs; [`AccountError::Changed`].
pub async fn discard(scope: &mut PlatformScope, id: JobId) -> Result<SeenJob, AccountError> {
    let discarded = jobs::discard(scope.connection(), id).await?;
    let job = discarded.ok_or_else(|| AccountError::NotFound(format!("job {id} that waits or is dead")))?;
    scope.check(&job)?;
    scope.note(Chain::OPERATORS, Note::new("job.discard", id).before(&job));
    Ok(job)
}

/// Tries at once to send a mail that waits, or was given up.
///
/// # Errors
/// [`AccountError::NotFound`] if it was sent, is not to be, or is being sent.
pub async fn retry_mail(scope: &mut PlatformScope, id: MessageId) -> Result<(), AccountError> {
    let key = id.uuid().to_string();
    let job = jobs::retry_key(scope.connection(), outbox::JOB, &key).await?;
    if job.is_none() {
        return Err(AccountError::NotFound(format!("mail {id} that waits or was given up")));
    }
    scope.note(Chain::OPERATORS, Note::new("mail.retry", id));
    Ok(())
}

/// Sends no mails to an address any more.
///
/// # Errors
/// [`AccountError::Invalid`] if it is no address.
pub async fn suppress(scope: &mut PlatformScope, address: &str, reason: &str) -> Result<(), AccountError> {
    let (address, now) = (check::email(address)?, scope.now());
    suppression::add(scope.connection(), &address, Suppressed::All, reason, now, None).await?;
    scope.note(Chain::OPERATORS, Note::new("mail.suppress", &address));
    Ok(())
}

/// Sends mails to an address again.
///
/// # Errors
/// [`AccountError::NotFound`] if they are sent already.
pub async fn unsuppress(scope: &mut PlatformScope, address: &str) -> Result<(), AccountError> {
    if !suppression::remove(scope.connection(), address).await? {
        return Err(AccountError::NotFound(format!("suppression of {address}")));
    }
    scope.note(Chain::OPERATORS, Note::new("mail.unsuppress", address));
    Ok(())
}
