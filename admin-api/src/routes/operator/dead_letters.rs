use accounts::dead_letter::{self, Decision, Letter, Which};
use accounts::{AccountError, Page, PageRequest};
use axum::Json;
use axum::extract::Path;
use chrono::{DateTime, Utc};
use schemas::letter::{LetterId, LetterState};
use serde::{Deserialize, Serialize};

use super::Reason;
use crate::auth::OnPlatform;
use crate::input::{Body, Parameters};
use crate::reply::{Answer, Refused};

/// Which letters, and which page of them.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct Asked {
    /// A tenant's public id, name or number.
    tenant: Option<String>,
    /// Words in what is wrong with a letter.
    reason: Option<String>,
    /// It died not before.
    from: Option<DateTime<Utc>>,
    /// It died before.
    to: Option<DateTime<Utc>>,
    /// What has become of it.
    state: Option<LetterState>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// What many letters have in common. Something is named, so that none is meant by leaving it out.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LetterChoice)]
pub(in crate::routes) struct Common {
    /// All letters that are dead.
    #[serde(default)]
    all: bool,
    /// A tenant's public id, name or number.
    tenant: Option<String>,
    /// Words in what is wrong with a letter.
    #[schema(min_length = 1, max_length = 200)]
    reason: Option<String>,
    /// They died not before.
    from: Option<DateTime<Utc>>,
    /// They died before.
    to: Option<DateTime<Utc>>,
}

/// What is to become of many letters.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LettersDecision)]
pub(in crate::routes) struct Many {
    letters: Common,
    /// Why: the audit says it.
    reason: String,
}

/// How many letters were dead, and are not any more.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = DecidedLetters)]
pub(in crate::routes) struct Decided {
    letters: u64,
}

impl Common {
    fn which(self) -> Result<Which, Refused> {
        let Self { all, tenant, reason, from, to } = self;
        let is_narrowed = tenant.is_some() || reason.is_some() || from.is_some() || to.is_some();
        if all == is_narrowed {
            let rule = "letters has `all: true`, or one or more of tenant, reason, from and to";
            return Err(Refused::invalid(rule));
        }
        Ok(Which { tenant, reason, from, to, ..Which::default() })
    }
}

fn parsed(id: &str) -> Result<LetterId, AccountError> {
    id.parse().map_err(|_| AccountError::NotFound(format!("dead letter {id}")))
}

pub(in crate::routes) async fn list(
    OnPlatform(mut scope): OnPlatform,
    Parameters(asked): Parameters<Asked>,
) -> Answer<Page<Letter>> {
    let Asked { tenant, reason, from, to, state, limit, cursor } = asked;
    let which = Which { id: None, tenant, reason, from, to, state };
    Ok(Json(dead_letter::list(&mut scope, &which, &PageRequest::new(limit, cursor)?).await?))
}

pub(in crate::routes) async fn show(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
) -> Answer<Letter> {
    Ok(Json(dead_letter::find(&mut scope, parsed(&id)?).await?))
}

async fn decide_one(
    OnPlatform(mut scope): OnPlatform,
    Path(id): Path<String>,
    decision: Decision,
    Body(Reason { reason }): Body<Reason>,
) -> Answer<Letter> {
    let id = parsed(&id)?;
    let which = Which { id: Some(id), ..Which::default() };
    dead_letter::decide(&mut scope, decision, &which, &reason).await?;
    let letter = dead_letter::find(&mut scope, id).await?;
    scope.commit().await?;
    Ok(Json(letter))
}

async fn decide_many(
    OnPlatform(mut scope): OnPlatform,
    decision: Decision,
    Body(Many { letters, reason }): Body<Many>,
) -> Answer<Decided> {
    let letters = dead_letter::decide(&mut scope, decision, &letters.which()?, &reason).await?;
    scope.commit().await?;
    Ok(Json(Decided { letters }))
}

macro_rules! decisions {
    ($($one:ident $many:ident $decision:ident),+) => {$(
        pub(in crate::routes) async fn $one(
            scope: OnPlatform,
            id: Path<String>,
            reason: Body<Reason>,
        ) -> Answer<Letter> {
            decide_one(scope, id, Decision::$decision, reason).await
        }

        pub(in crate::routes) async fn $many(scope: OnPlatform, many: Body<Many>) -> Answer<Decided> {
            decide_many(scope, Decision::$decision, many).await
        }
    )+};
}

decisions!(replay replay_many Replay, discard discard_many Discard);
