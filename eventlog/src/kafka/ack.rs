//! One acknowledgement for all the records of one append.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use rdkafka::types::RDKafkaErrorCode;

use crate::AppendError;

/// How the delivery of one record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// On disk, on all in-sync replicas.
    Stored,
    /// Certainly not in the log.
    Refused(RDKafkaErrorCode),
    /// Perhaps in the log.
    Unknown(RDKafkaErrorCode),
}

impl Delivered {
    /// What an acknowledgement is worth. When a broker refuses one batch and takes the next, librdkafka concludes
    /// that it must have had the first already, and acknowledges that too, without an offset. But a broker that knows
    /// nothing of a producer takes any sequence number from it, so that the first may be lost
    /// (confluent-kafka-go#921). Only an offset says that a record is in the log.
    pub(super) fn acknowledged(offset: i64) -> Self {
        if offset >= 0 { Self::Stored } else { Self::Unknown(RDKafkaErrorCode::NoOffset) }
    }
}

impl From<RDKafkaErrorCode> for Delivered {
    /// librdkafka knows of each message whether it may have been persisted, but rdkafka does not hand it on, and an
    /// error code speaks of the last attempt only. So only those count as refused that depend on nothing but the
    /// record: what brokers refuse now for its sake, they have refused at every attempt.
    fn from(code: RDKafkaErrorCode) -> Self {
        let by_content = [
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::InvalidRecord,
            RDKafkaErrorCode::InvalidDifferentRecord,
            RDKafkaErrorCode::InvalidTimestamp,
        ];
        if by_content.contains(&code) { Self::Refused(code) } else { Self::Unknown(code) }
    }
}

/// Counts the records of one append down.
#[derive(Debug)]
pub(super) struct Ack {
    records: usize,
    left: AtomicUsize,
    refused: AtomicUsize,
    unknown: AtomicUsize,
    why: OnceLock<RDKafkaErrorCode>,
    waker: AtomicWaker,
}

impl Ack {
    pub(super) fn new(records: usize) -> Arc<Self> {
        Arc::new(Self {
            records,
            left: AtomicUsize::new(records),
            refused: AtomicUsize::new(0),
            unknown: AtomicUsize::new(0),
            why: OnceLock::new(),
            waker: AtomicWaker::new(),
        })
    }

    /// Takes note of one record. Called once for each, from librdkafka's thread.
    pub(super) fn settle(&self, delivered: Delivered) {
        let failed = match delivered {
            Delivered::Stored => None,
            Delivered::Refused(code) => Some((&self.refused, code)),
            Delivered::Unknown(code) => Some((&self.unknown, code)),
        };
        if let Some((counter, code)) = failed {
            counter.fetch_add(1, Ordering::Relaxed);
            // Failing to set it means that an earlier reason is there already.
            let _ = self.why.set(code);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }

    fn verdict(&self) -> Result<(), AppendError> {
        let refused = self.refused.load(Ordering::Relaxed);
        let unknown = self.unknown.load(Ordering::Relaxed);
        let Some(why) = self.why.get() else { return Ok(()) };
        let text = format!("{} of {} records failed: {why}", refused + unknown, self.records);
        Err(if refused == self.records { AppendError::Rejected(text) } else { AppendError::Unknown(text) })
    }
}

/// Ready when every record is settled.
pub(super) struct Settled(pub(super) Arc<Ack>);

impl Future for Settled {
    type Output = Result<(), AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // First the waker, then the look: otherwise the last record could be settled in between, unheard.
        self.0.waker.register(context.waker());
        if self.0.left.load(Ordering::Acquire) == 0 { Poll::Ready(self.0.verdict()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::Delivered::{Refused, Stored, Unknown};
    use super::*;

    const TOO_LARGE: RDKafkaErrorCode = RDKafkaErrorCode::MessageSizeTooLarge;
    const TIMED_OUT: RDKafkaErrorCode = RDKafkaErrorCode::MessageTimedOut;

    fn verdict(deliveries: &[Delivered]) -> Result<(), AppendError> {
        let ack = Ack::new(deliveries.len());
        for delivered in deliveries {
            assert!(Settled(Arc::clone(&ack)).now_or_never().is_none(), "ready before all are settled");
            ack.settle(*delivered);
        }
        Settled(ack).now_or_never().unwrap()
    }

    #[test]
    fn all_stored_is_ok() {
        assert!(verdict(&[Stored, Stored]).is_ok());
    }

    #[test]
    fn refused_only_if_no_record_can_be_in_the_log() {
        assert!(matches!(verdict(&[Refused(TOO_LARGE), Refused(TOO_LARGE)]), Err(AppendError::Rejected(_))));
        assert!(matches!(verdict(&[Refused(TOO_LARGE), Stored]), Err(AppendError::Unknown(_))));
        assert!(matches!(verdict(&[Refused(TOO_LARGE), Unknown(TIMED_OUT)]), Err(AppendError::Unknown(_))));
        assert!(matches!(verdict(&[Unknown(TIMED_OUT)]), Err(AppendError::Unknown(_))));
    }

    #[test]
    fn only_what_depends_on_the_record_alone_is_refused() {
        assert_eq!(Delivered::from(TOO_LARGE), Refused(TOO_LARGE));
        for code in [
            TIMED_OUT,
            RDKafkaErrorCode::PurgeQueue,
            RDKafkaErrorCode::NotEnoughReplicasAfterAppend,
            RDKafkaErrorCode::TopicAuthorizationFailed,
            RDKafkaErrorCode::Fatal,
        ] {
            assert_eq!(Delivered::from(code), Unknown(code));
        }
    }

    #[test]
    fn an_acknowledgement_without_an_offset_proves_nothing() {
        assert_eq!(Delivered::acknowledged(0), Stored);
        assert_eq!(Delivered::acknowledged(-1001), Unknown(RDKafkaErrorCode::NoOffset));
        assert_eq!(Delivered::acknowledged(-1), Unknown(RDKafkaErrorCode::NoOffset));
    }

    #[tokio::test]
    async fn the_last_record_wakes_the_waiting() {
        let ack = Ack::new(2);
        let waiting = tokio::spawn(Settled(Arc::clone(&ack)));
        tokio::task::yield_now().await;
        ack.settle(Stored);
        ack.settle(Stored);
        assert!(waiting.await.unwrap().is_ok());
    }
}
