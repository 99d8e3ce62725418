//! Admission: how many bytes of bodies the node works on at once, and reading one body within its limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::header::CONTENT_LENGTH;
use schemas::problem::{Code, Problem};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::metrics;

/// Permits count in units of this many bytes.
const UNIT: usize = 1024;

/// The node's budget of body bytes.
#[derive(Debug, Clone)]
pub struct Admission {
    units: Arc<Semaphore>,
    body_bytes_max: usize,
}

/// A body's share of the budget, held until the reply.
#[derive(Debug)]
pub struct Admitted {
    _share: OwnedSemaphorePermit,
    units: u32,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        ::metrics::gauge!(metrics::IN_FLIGHT_BYTES).decrement(as_bytes(self.units));
    }
}

/// Units as bytes, for the gauge.
fn as_bytes(units: u32) -> f64 {
    f64::from(units.saturating_mul(1024))
}

impl Admission {
    /// A budget of `in_flight_bytes_max` for bodies of at most `body_bytes_max` each.
    #[must_use]
    pub fn new(in_flight_bytes_max: usize, body_bytes_max: usize) -> Self {
        Self { units: Arc::new(Semaphore::new(in_flight_bytes_max.div_ceil(UNIT))), body_bytes_max }
    }

    /// Admits a request before its body is read. A body without a length counts as the largest.
    ///
    /// # Errors
    /// 413 if its length is over the limit, 503 if the node is full.
    pub fn admit(&self, headers: &HeaderMap) -> Result<Admitted, Problem> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let bytes = length.unwrap_or(self.body_bytes_max);
        if bytes > self.body_bytes_max {
            return Err(self.too_large());
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| {
            Problem::new(Code::Overloaded, "the node works on as many bytes as it can: try again soon")
        })?;
        ::metrics::gauge!(metrics::IN_FLIGHT_BYTES).increment(as_bytes(units));
        Ok(Admitted { _share: permit, units })
    }

    /// Reads a body to its end.
    ///
    /// # Errors
    /// 413 as soon as it passes the limit, 408 if it is not whole by `deadline`, 400 if the client breaks off.
    pub async fn read<B>(&self, body: B, deadline: Instant) -> Result<Bytes, Problem>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match tokio::time::timeout_at(deadline, collect(Limited::new(body, self.body_bytes_max))).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(self.too_large()),
            Ok(Err(_)) => {
                Err(Problem::new(Code::InvalidBatch, "the body broke off before its end: send it again"))
            }
            Err(_) => Err(Problem::new(
                Code::RequestTimeout,
                "the body did not arrive in time: send smaller batches",
            )),
        }
    }

    fn too_large(&self) -> Problem {
        Problem::new(
            Code::BodyTooLarge,
            format!("a body may have {} bytes as sent: send smaller batches", self.body_bytes_max),
        )
    }
}

/// A body that came in one piece is not copied.
async fn collect<B>(body: Limited<B>) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(body);
    let mut whole = Bytes::new();
    let mut pieces = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        if whole.is_empty() && pieces.is_empty() {
            whole = piece;
            continue;
        }
        if pieces.is_empty() {
            // What the client says is to come, and is within the limit, is not moved about as it comes.
            let to_come = usize::try_from(body.size_hint().lower()).unwrap_or_default();
            pieces.reserve(whole.len() + piece.len() + to_come);
            pieces.extend_from_slice(&whole);
        }
        pieces.extend_from_slice(&piece);
    }
    Ok(if pieces.is_empty() { whole } else { pieces.freeze() })
}

/// By when a request must be answered.
#[must_use]
pub fn deadline(request_deadline: Duration) -> Instant {
    Instant::now() + request_deadline
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::header::HeaderValue;

    use super::*;

    fn length(bytes: usize) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from(bytes))])
    }

    #[test]
    fn a_length_at_the_limit_is_admitted_and_one_more_is_not() {
        let admission = Admission::new(1 << 20, 1000);
        assert!(admission.admit(&length(1000)).is_ok());
        assert_eq!(admission.admit(&length(1001)).unwrap_err().code, Code::BodyTooLarge);
    }

    #[test]
    fn the_budget_is_shared_and_comes_back() {
        let admission = Admission::new(2 * UNIT, 2 * UNIT);
        let first = admission.admit(&length(UNIT)).unwrap();
        let second = admission.admit(&length(UNIT)).unwrap();
        assert_eq!(admission.admit(&length(1)).unwrap_err().code, Code::Overloaded);
        drop(first);
        assert_eq!(
            admission.admit(&HeaderMap::new()).unwrap_err().code,
            Code::Overloaded,
            "no length: the largest"
        );
        drop(second);
        assert!(admission.admit(&HeaderMap::new()).is_ok());
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let admission = Admission::new(1 << 20, 5);
        let deadline = deadline(Duration::from_secs(5));
        assert_eq!(admission.read(Full::from("12345"), deadline).await.unwrap(), "12345");
        let over = admission.read(Full::from("123456"), deadline).await.unwrap_err();
        assert_eq!(over.code, Code::BodyTooLarge);
    }
}
