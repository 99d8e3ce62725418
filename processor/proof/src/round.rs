//! A round of erasures.

use schemas::id::{ProjectId, TenantId};
use schemas::subject::SubjectKind;
use schemas::time::Micros;

/// What an erasure takes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Events of somebody, or one event.
    Subject(SubjectKind, String),
    /// Events received before.
    Before(Micros),
}

/// One erasure of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Erasure {
    pub(crate) id: i64,
    pub(crate) tenant: TenantId,
    /// `None`: all of the tenant's.
    pub(crate) project: Option<ProjectId>,
    pub(crate) what: What,
    /// By partition: where the log ended after it was asked for.
    pub(crate) ends: Vec<u64>,
}

/// Erasures that are carried out together: all of subjects, or all of retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Which attempt this is: each has a number of its own.
    pub(crate) number: i64,
    /// Whether its rows are counted in the books, and only to be deleted.
    pub(crate) is_counted: bool,
    pub(crate) erasures: Vec<Erasure>,
}

impl Round {
    /// Whether the rows are chosen by their age, and not one by one.
    pub(crate) fn is_retention(&self) -> bool {
        self.erasures.iter().all(|erasure| matches!(erasure.what, What::Before(_)))
    }

    /// The erasure that a row of the round belongs to ([`Rows::of`](crate::db::events::Rows::of)).
    pub(crate) fn erasure(&self, whose: i64) -> Option<i64> {
        let is_retention = self.is_retention();
        let found = |erasure: &&Erasure| whose == if is_retention { erasure.tenant.0 } else { erasure.id };
        self.erasures.iter().find(found).map(|erasure| erasure.id)
    }
}
