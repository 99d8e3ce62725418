//! Sign-ins that failed, in the audit of the tenants whose member somebody wanted to be.
//!
//! Who answers a sign-in does not look up whose it is: that would take longer for an address that is known, and show
//! that it is. A job looks it up later. It is made for every address alike.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use schemas::public_id::PersonId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::caller::{Actor, Caller};
use crate::db::chain::{Chain, Note};
use crate::db::scope::PlatformScope;
use crate::db::{membership, person};

/// The kind of the jobs that note them.
pub const JOB: &str = "login.failed";
/// Tenants of one person in which it is noted, by slug.
const TENANTS_MAX: usize = 100;

/// A sign-in that failed: what such a job reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedLogin {
    /// The address of whom somebody wanted to be.
    pub email: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// The id of its request.
    pub request_id: Option<Uuid>,
}

impl FailedLogin {
    /// As the audit has it: nobody has shown who asked.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller { actor: Actor::System, address: self.address, request_id: self.request_id }
    }
}

/// Makes the job.
pub(crate) async fn insert(connection: &mut PgConnection, failed: &FailedLogin) -> Result<(), sqlx::Error> {
    let job = jobs::NewJob { kind: JOB, payload: failed, not_before: None, key: None };
    jobs::insert(connection, job).await.map(|_| ())
}

/// Notes it for each tenant of the person, if the address is somebody's: those that the person was in at that time,
/// since it is no business of one that was joined later. The caller commits.
///
/// # Errors
/// If Postgres fails.
pub async fn note(scope: &mut PlatformScope, failed: &FailedLogin) -> Result<(), sqlx::Error> {
    let Some(found) = person::credentials(scope.connection(), &failed.email).await? else { return Ok(()) };
    let after = serde_json::json!({"at": failed.at});
    note_in_tenants(scope, found.id, failed.at, &Note::new("login.fail", found.id).after(&after)).await
}

/// Notes something that was done in the person's name at that time for each tenant that the person was in then.
pub(crate) async fn note_in_tenants(
    scope: &mut PlatformScope,
    person: PersonId,
    at: DateTime<Utc>,
    note: &Note,
) -> Result<(), sqlx::Error> {
    let tenants = membership::tenants_of(scope.connection(), person).await?;
    for of in tenants.into_iter().filter(|of| of.since <= at).take(TENANTS_MAX) {
        scope.note(Chain::Tenant(of.tenant), note.clone());
    }
    Ok(())
}
