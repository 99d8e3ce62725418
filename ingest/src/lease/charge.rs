//! What a request was charged, until it is known what became of its events.
//!
//! A client may leave at any moment, and the request's future with it. Nothing stays charged for that: before the
//! append the charge goes back, and an append that has begun is waited for by somebody else.

use std::pin::Pin;
use std::sync::Arc;

use eventlog::AppendError;
use tokio::runtime::Handle;

use super::Leases;
use crate::tenant::{Spent, Tenant};

/// A charge of events that are not in the log; given back if it is dropped.
pub(crate) struct Charge {
    leases: Arc<Leases>,
    tenant: Arc<Tenant>,
    pub(crate) spent: Spent,
    /// What became of it is known, or somebody else asks.
    is_settled: bool,
}

impl Charge {
    pub(super) fn new(leases: &Arc<Leases>, tenant: &Arc<Tenant>, spent: Spent) -> Self {
        Self { leases: Arc::clone(leases), tenant: Arc::clone(tenant), spent, is_settled: false }
    }

    /// Appends the events, and settles the charge by what became of them: it goes back if they are not in the log, and
    /// is doubted if they may be ([`Leases::doubt`]). That is done also if nobody waits for the answer any more.
    ///
    /// # Errors
    /// As `append`.
    pub(crate) async fn append(
        self,
        append: impl Future<Output = Result<(), AppendError>> + Send + 'static,
    ) -> Result<(), AppendError> {
        let mut appending = Appending { outcome: Box::pin(append), charge: Some(self) };
        let outcome = appending.outcome.as_mut().await;
        if let Some(charge) = appending.charge.take() {
            charge.settle(&outcome);
        }
        outcome
    }

    fn settle(mut self, outcome: &Result<(), AppendError>) {
        // Dropped, it goes back.
        self.is_settled = !matches!(outcome, Err(AppendError::Refused(_) | AppendError::Rejected(_)));
        if matches!(outcome, Err(AppendError::Unknown(_))) {
            self.leases.doubt();
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if !self.is_settled {
            self.leases.refund(&self.tenant, &self.spent);
        }
    }
}

/// An append under way.
struct Appending {
    outcome: Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send>>,
    /// Until the outcome is known.
    charge: Option<Charge>,
}

impl Drop for Appending {
    fn drop(&mut self) {
        let Some(mut charge) = self.charge.take() else { return };
        let outcome = std::mem::replace(&mut self.outcome, Box::pin(std::future::pending()));
        let Ok(runtime) = Handle::try_current() else {
            // The process ends, and its leases with it.
            charge.is_settled = true;
            return;
        };
        // An append has a deadline, so this ends.
        runtime.spawn(async move { charge.settle(&outcome.await) });
    }
}
