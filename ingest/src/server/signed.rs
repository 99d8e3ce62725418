//! Signed receipts, for clients that ask for them.

use hyper::header::HeaderValue;
use schemas::time::Micros;
use uuid::Uuid;

use super::Node;
use crate::reply::{self, Reply};
use crate::tenant::Sender;
use crate::validate::Known;

impl Node {
    /// Gives the reply a signed receipt, if there is a key.
    pub(super) fn sign(
        &self,
        reply: &mut Reply,
        sender: &Sender,
        (request_id, received_at): (Uuid, Micros),
        events: &[Known<'_>],
    ) {
        let Some(key) = &self.config.evidence_key else { return };
        let receipt = evidence::Receipt {
            tenant: sender.tenant.id,
            project: sender.project,
            request: request_id.into_bytes(),
            received_at,
            events: events.len() as u64,
            digest: evidence::Receipt::digest_of(events.iter().map(Known::hash)),
        };
        let signed = key.sign_receipt(receipt).to_string();
        if let Ok(value) = HeaderValue::from_str(&signed) {
            reply.headers_mut().insert(reply::RECEIPT, value);
        }
    }
}
