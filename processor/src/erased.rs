//! What was erased, for those who bring events of the log back: none of it must come back.

use schemas::id::{ProjectId, TenantId};
use schemas::subject::SubjectKind;
use schemas::time::Micros;
use sqlx::PgConnection;

use crate::batch::Placed;
use crate::db::erasure;

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

impl Erased {
    /// Reads all erasures of which events may still come back: out of the log, or out of dead letters.
    ///
    /// # Errors
    /// If Postgres fails: nothing must be brought back then.
    pub async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let rule = |row: erasure::Row| {
            let what = match (row.kind.parse(), row.salt, row.subject_hash, row.before) {
                (Ok(kind), Some(salt), Some(hash), _) => Covered::Subject(kind, salt, hash),
                (_, _, _, Some(before)) => Covered::Before(Micros(before.timestamp_micros())),
                _ => return None,
            };
            let (tenant, project) = (TenantId(row.tenant_id), row.project_id.map(ProjectId));
            Some(Rule { tenant, project, ends: row.ends, what })
        };
        Ok(Self(erasure::in_force(connection).await?.into_iter().filter_map(rule).collect()))
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
