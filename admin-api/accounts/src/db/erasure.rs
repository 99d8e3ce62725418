//! Erasures: what is asked for here, the processors carry out.

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};
use schemas::id::ProjectId;
use schemas::limit::{EVENT_ID_BYTES_MAX, EVENT_NAME_BYTES_MAX};
use schemas::public_id::{ErasureId, PublicProjectId};
use schemas::subject::SubjectKind;
use serde::{Deserialize, Serialize};

use crate::db::chain::Note;
use crate::db::scope::Scope;
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// What is to be erased: one of the three, in one project or in all.
#[derive(Debug, Clone, Default, Deserialize, Args, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[group(skip)]
#[command(group = ArgGroup::new("subject").required(true).args(["user_id", "anonymous_id", "event_id"]))]
pub struct NewErasure {
    /// Of this project only: its name or id
    #[arg(long)]
    pub project: Option<String>,
    /// All events of this user
    #[arg(long = "user", value_name = "ID")]
    pub user_id: Option<String>,
    /// All events of this anonymous id
    #[arg(long, value_name = "ID")]
    pub anonymous_id: Option<String>,
    /// This event
    #[arg(long, value_name = "ID")]
    pub event_id: Option<String>,
}

/// An erasure as operators see it: not whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// The project; `None`: all of the tenant's.
    pub project: Option<PublicProjectId>,
    /// The project's name.
    pub project_name: Option<String>,
    /// `user`, `anonymous`, `event`; or `retention`, for events that the plan keeps no longer.
    pub kind: String,
    /// `requested`, `deleting` (counted and out of every total's way), or `done`: no row is left.
    pub state: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// When it was done.
    pub done_at: Option<DateTime<Utc>>,
    /// Events erased, once that is known.
    pub events: Option<i64>,
    /// Dead letters of the tenant in whose bytes the subject stands, once that is known. They are kept.
    pub dead_letters: Option<i64>,
}

type Row = (
    uuid::Uuid,
    Option<uuid::Uuid>,
    Option<String>,
    String,
    String,
    DateTime<Utc>,
    Option<DateTime<Utc>>,
    Option<i64>,
    Option<i64>,
);

fn erasure(
    (id, project, project_name, kind, state, requested_at, done_at, events, dead_letters): Row,
) -> Erasure {
    let (id, project) = (id.into(), project.map(Into::into));
    Erasure { id, project, project_name, kind, state, requested_at, done_at, events, dead_letters }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT e.public_id, f.public_id, p.name, e.kind, e.state, e.requested_at, e.done_at, e.events,
                    e.dead_letters
             FROM erasure e LEFT JOIN project p ON (p.tenant_id, p.id) = (e.tenant_id, e.project_id)
             LEFT JOIN project_profile f ON (f.tenant_id, f.project_id) = (e.tenant_id, e.project_id) ",
            $rest
        )
    };
}

/// Asks for an erasure.
///
/// # Errors
/// [`AccountError::Invalid`] if it does not name one thing; [`AccountError::NotFound`] for a project that the tenant
/// has not.
pub async fn create(scope: &mut Scope, new: &NewErasure) -> Result<Erasure, AccountError> {
    let (kind, subject) = new.subject()?;
    let project: Option<ProjectId> = match &new.project {
        Some(named) => Some(super::project::find(scope, named).await?),
        None => {
            scope.whole()?;
            None
        }
    };
    let salt = sqlx::query_scalar("SELECT uuid_send(gen_random_uuid())");
    let salt: Vec<u8> = salt.fetch_one(scope.connection()).await?;
    let id: uuid::Uuid = sqlx::query_scalar(
        "INSERT INTO erasure (tenant_id, project_id, kind, subject, salt, subject_hash)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING public_id",
    )
    .bind(scope.tenant().0)
    .bind(project.map(|project| project.0))
    .bind(kind.as_str())
    .bind(subject)
    .bind(&salt)
    .bind(kind.hash(&salt, subject).as_slice())
    .fetch_one(scope.connection())
    .await?;
    let erasure = find(scope, id.into()).await?;
    // Not whom it is about: that is to be forgotten.
    scope.note(Note::new("erasure.create", erasure.id).after(&erasure));
    Ok(erasure)
}

impl Listed for Erasure {
    const LIST: &'static str = "erasures";
    type Key = (DateTime<Utc>, uuid::Uuid);

    fn key(&self) -> Self::Key {
        (self.requested_at, self.id.uuid())
    }
}

/// A page of the tenant's erasures, the newest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(scope: &mut Scope, asked: &PageRequest) -> Result<Page<Erasure>, AccountError> {
    let (tenant, before) = (scope.tenant(), asked.after::<Erasure>()?);
    let rows: Vec<Row> = sqlx::query_as(select!(
        "WHERE e.tenant_id = $1 AND ($2::timestamptz IS NULL OR (e.requested_at, e.public_id) < ($2, $3))
         ORDER BY e.requested_at DESC, e.public_id DESC LIMIT $4"
    ))
    .bind(tenant.0)
    .bind(before.map(|(at, _)| at))
    .bind(before.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows.into_iter().map(erasure).collect()))
}

/// One erasure of the tenant.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut Scope, id: ErasureId) -> Result<Erasure, AccountError> {
    let tenant = scope.tenant();
    let row: Option<Row> = sqlx::query_as(select!("WHERE e.tenant_id = $1 AND e.public_id = $2"))
        .bind(tenant.0)
        .bind(id.uuid())
        .fetch_optional(scope.connection())
        .await?;
    row.map(erasure).ok_or_else(|| AccountError::NotFound(format!("erasure {id}")))
}

impl NewErasure {
    fn subject(&self) -> Result<(SubjectKind, &str), AccountError> {
        let named = [
            (SubjectKind::User, &self.user_id),
            (SubjectKind::Anonymous, &self.anonymous_id),
            (SubjectKind::Event, &self.event_id),
        ];
        let mut named = named.into_iter().filter_map(|(kind, value)| Some((kind, value.as_deref()?)));
        let (Some(subject), None) = (named.next(), named.next()) else {
            return Err(AccountError::Invalid("name one of user_id, anonymous_id and event_id".to_owned()));
        };
        // As ingest takes them: a longer one is no event's.
        let bytes_max = match subject.0 {
            SubjectKind::User | SubjectKind::Anonymous => EVENT_NAME_BYTES_MAX,
            SubjectKind::Event => EVENT_ID_BYTES_MAX,
        };
        if subject.1.is_empty() || subject.1.len() > bytes_max || subject.1.contains('\0') {
            let member = subject.0.column();
            let rule = format!("{member} has 1 to {bytes_max} bytes, and no NUL");
            return Err(AccountError::member(member, rule));
        }
        Ok(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subject_is_named_and_within_its_limits() {
        let some = |text: &str| Some(text.to_owned());
        let longest = "x".repeat(EVENT_NAME_BYTES_MAX);
        let of_user = |user: &str| NewErasure { user_id: some(user), ..NewErasure::default() };
        assert_eq!(of_user("ada").subject().unwrap(), (SubjectKind::User, "ada"));
        assert!(of_user(&longest).subject().is_ok());
        assert!(of_user(&(longest + "x")).subject().is_err());
        let of_event = |bytes| NewErasure { event_id: Some("x".repeat(bytes)), ..NewErasure::default() };
        assert!(of_event(EVENT_ID_BYTES_MAX).subject().is_ok());
        let too_long = of_event(EVENT_ID_BYTES_MAX + 1);
        let refused = too_long.subject().unwrap_err();
        assert!(
            matches!(&refused, AccountError::InvalidAt(place, _) if place.as_str() == "/event_id"),
            "{refused}"
        );
        assert!(of_user("").subject().is_err() && of_user("a\0").subject().is_err());
        assert!(NewErasure::default().subject().is_err());
        let two = NewErasure { event_id: some("e"), ..of_user("ada") };
        assert!(two.subject().is_err());
    }
}
