//! What operators decide about dead letters.
//!
//! A decision on many letters is one transaction of many short steps: no statement runs into Postgres's limit, however
//! many letters there are, and all of them are decided on or none is.

use std::collections::BTreeMap;

use schemas::id::TenantId;
use schemas::letter::LetterState;
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::{IS_MEANT, Which, bound, columns, find};
use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::scope::PlatformScope;
use crate::error::AccountError;

/// Letters of a step.
const STEP_LETTERS: i64 = 1_000;

/// What is to become of letters that are dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A processor appends their events to the log again, as far as they can be read by now.
    Replay,
    /// Their bytes are deleted. Their events stay counted as dead, and are not billed.
    Discard,
}

/// Decides on the letters meant that are dead, for a reason that the audit says: the operators', and that of each
/// tenant of which there were letters. How many those are.
///
/// # Errors
/// [`AccountError::Conflict`] if one letter is named, and is not dead any more.
pub async fn decide(
    scope: &mut PlatformScope,
    decision: Decision,
    which: &Which,
    because: &str,
) -> Result<u64, AccountError> {
    check::reason(because)?;
    let tenant = which.checked(scope).await?;
    let whose = step_by_step(scope, decision, which, tenant).await?;
    if let Some(id) = which.id.filter(|_| whose.is_empty()) {
        let letter = find(scope, id).await?;
        return Err(AccountError::Conflict(format!("dead letter {id} is {} already", letter.state.as_str())));
    }
    let action = match decision {
        Decision::Replay => "dead_letter.replay",
        Decision::Discard => "dead_letter.discard",
    };
    let target = which.id.map_or_else(|| "dead letters".to_owned(), |id| format!("dead letter {id}"));
    let mut note = |chain, letters| {
        scope.note(chain, Note::new(action, &target).after(&Decided { reason: because, letters, which }));
    };
    let letters: u64 = whose.values().sum();
    // One tenant's letters are noted in that tenant's audit alone, which operators read, too.
    let is_of_one = tenant.is_some() || (which.id.is_some() && !whose.contains_key(&None));
    if !is_of_one {
        note(Chain::OPERATORS, letters);
    }
    if let Some(tenant) = tenant.filter(|_| whose.is_empty()) {
        note(Chain::Tenant(tenant), 0);
    }
    for (tenant, letters) in whose {
        if let Some(tenant) = tenant {
            note(Chain::Tenant(TenantId(tenant)), letters);
        }
    }
    Ok(letters)
}

/// Decides on letters until none is left: how many, by tenant. `None`: it could not be read whose they are, or the
/// tenant is not there any more.
async fn step_by_step(
    scope: &mut PlatformScope,
    decision: Decision,
    which: &Which,
    tenant: Option<TenantId>,
) -> Result<BTreeMap<Option<i64>, u64>, AccountError> {
    let set = match decision {
        Decision::Replay => "state = 'asked', replay_asked_at = now()",
        Decision::Discard => "state = 'discarded', discarded_at = now(), raw = ''",
    };
    let statement = format!(
        "WITH step AS (
             SELECT d.partition, d.position, t.tenant_id AS whose
             FROM dead_letter d LEFT JOIN tenant_profile t ON t.tenant_id = d.tenant_id
             WHERE d.state = 'dead' AND {IS_MEANT}
               AND ($8::int IS NULL OR (d.partition, d.position) > ($8, $9::text::numeric))
             ORDER BY d.partition, d.position LIMIT $10 FOR UPDATE OF d)
         UPDATE dead_letter d SET {set} FROM step
         WHERE (d.partition, d.position) = (step.partition, step.position)
         RETURNING step.whose, d.partition, d.position::text"
    );
    let mut whose = BTreeMap::new();
    let mut after = None;
    loop {
        let (partition, position) = columns(after);
        let query = sqlx::query_as(AssertSqlSafe(statement.clone()));
        let step: Vec<(Option<i64>, i32, String)> = bound!(query, which, tenant)
            .bind(partition)
            .bind(position)
            .bind(STEP_LETTERS)
            .fetch_all(scope.connection())
            .await?;
        if step.is_empty() {
            return Ok(whose);
        }
        for (tenant, partition, position) in step {
            *whose.entry(tenant).or_default() += 1;
            let name = (u32::try_from(partition).unwrap_or_default(), position.parse().unwrap_or_default());
            after = after.max(Some(name));
        }
    }
}

/// What the audit says of a decision.
#[derive(Serialize)]
struct Decided<'a> {
    reason: &'a str,
    letters: u64,
    which: &'a Which,
}
