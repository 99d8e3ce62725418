//! What was erased, for those who bring events of the log back: none of it must come back.

use schemas::id::{ProjectId, TenantId};
use schemas::lock;
use schemas::subject::SubjectKind;
use schemas::time::Micros;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

use crate::batch::Placed;

/// Waits for an erasure that is being counted, and lets none begin until the connection ends or lets go. Whoever inserts
/// events of the log again, below the cursor, holds this from before it reads [`Erased`] until it is done.
///
/// # Errors
/// If Postgres fails.
pub(crate) async fn hold_back(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_lock_shared($1)").bind(lock::ERASURE).execute(connection).await?;
    Ok(())
}

/// The same without waiting: `false` while an erasure is being counted.
///
/// # Errors
/// If Postgres fails.
pub(crate) async fn try_hold_back(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock_shared($1)").bind(lock::ERASURE).fetch_one(connection).await
}

/// What must not be brought back out of the log.
#[derive(Debug, Default)]
pub struct Erased(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    tenant: TenantId,
    project: Option<ProjectId>,
    /// `None`: not noted yet, so all that is in the log now stands before.
    ends: Option<Vec<i64>>,
    what: Covered,
}

#[derive(Debug)]
enum Covered {
    Subject(SubjectKind, Vec<u8>, Vec<u8>),
    Before(Micros),
}

type Row =
    (i64, Option<i64>, String, Option<Vec<u8>>, Option<Vec<u8>>, Option<DateTime<Utc>>, Option<Vec<i64>>);

impl Erased {
    /// Reads all erasures of which the log may still have events.
    ///
    /// # Errors
    /// If Postgres fails: nothing must be brought back then.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT tenant_id, project_id, kind, salt, subject_hash, before, ends
             FROM erasure WHERE subject_hash IS NOT NULL OR kind = 'retention'",
        )
        .fetch_all(connection)
        .await?;
        let rule = |(tenant, project, kind, salt, hash, before, ends): Row| {
            let what = match (kind.parse(), salt, hash, before) {
                (Ok(kind), Some(salt), Some(hash), _) => Covered::Subject(kind, salt, hash),
                (_, _, _, Some(before)) => Covered::Before(Micros(before.timestamp_micros())),
                _ => return None,
            };
            Some(Rule { tenant: TenantId(tenant), project: project.map(ProjectId), ends, what })
        };
        Ok(Self(rows.into_iter().filter_map(rule).collect()))
    }

    /// Whether this event has been erased, or is about to be.
    #[must_use]
    pub fn covers(&self, placed: &Placed<'_>) -> bool {
        self.0.iter().any(|rule| rule.covers(placed))
    }
}

impl Rule {
    fn covers(&self, placed: &Placed<'_>) -> bool {
        let (envelope, event) = (&placed.envelope, &placed.event);
        if envelope.tenant != self.tenant || self.project.is_some_and(|project| project != envelope.project) {
            return false;
        }
        let stands_before = self.ends.as_ref().is_none_or(|ends| {
            let end = usize::try_from(placed.partition).ok().and_then(|partition| ends.get(partition));
            end.is_some_and(|end| u64::try_from(*end).is_ok_and(|end| placed.position.offset() < end))
        });
        stands_before
            && match &self.what {
                Covered::Before(before) => envelope.received_at < *before,
                Covered::Subject(kind, salt, hash) => {
                    let value = match kind {
                        SubjectKind::User => event.user_id,
                        SubjectKind::Anonymous => event.anonymous_id,
                        SubjectKind::Event => event.id,
                    };
                    kind.hash(salt, value).as_slice() == hash
                }
            }
    }
}
