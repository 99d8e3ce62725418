//! A copy for the spool, of events that the log did not confirm.

use std::sync::Arc;
use std::time::Duration;

use eventlog::AppendError;
use schemas::frame::{Envelope, Trace};
use schemas::id::LeaseId;
use tokio::time::{Instant, timeout_at};

use super::Node;
use crate::append::traced_frames;
use crate::tenant::{Sender, Spent};
use crate::validate::Known;

/// How long a copy may wait for quota: its sender has waited for the log already.
const QUOTA_PATIENCE: Duration = Duration::from_secs(1);

impl Node {
    /// Charges the events of a request a second time, since an earlier copy may be in the log
    /// (`metering::spool` says why), and puts a copy into the spool. An error says why there is none.
    pub(super) async fn append_copy(
        &self,
        sender: &Sender,
        events: &[Known<'_>],
        envelope: &Envelope<'_>,
        trace: Option<&Trace>,
        spent: &Spent,
        deadline: Instant,
    ) -> Result<(), String> {
        let spool = self.log.spool().ok_or("there is no spool")?;
        let until = deadline.min(Instant::now() + QUOTA_PATIENCE);
        let again = self.leases.charge(&sender.tenant, envelope.received_at, spent.events);
        let again =
            timeout_at(until, again).await.map_err(|_| "the quota for a copy can't be had in time")?;
        let charge = again.map_err(|problem| problem.detail.into_owned())?;
        let again = charge.spent;
        if again.events < spent.events {
            return Err("the quota does not cover a copy".to_owned());
        }
        // The copy is counted in the period that its frame says.
        if again.lease != LeaseId::NONE && again.period != spent.period {
            return Err("the period has ended meanwhile".to_owned());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("there is no time for a copy".to_owned());
        }
        let envelope = Envelope { lease: again.lease, ..*envelope };
        let records = traced_frames(&envelope, trace, events, self.log.partitions());
        let records = records.map_err(|why| why.to_string())?;
        let spool = Arc::clone(spool);
        let copied = charge.append(async move { spool.append(records, left).await }).await;
        copied.map_err(|error| match error {
            AppendError::Refused(why) | AppendError::Rejected(why) | AppendError::Unknown(why) => why,
        })
    }
}
