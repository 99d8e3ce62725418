//! Admission: how many bytes of bodies the node works on at once, and reading one body within its limits.
//!
//! There is a budget for the node, and within it one for each tenant, so that none takes the place of the others.
//! Bytes are charged before they are held: a body's length before it is read, and what it grows by when it is
//! decompressed before each step. Bodies whose sender is not known yet, since the key stands in them, share half of
//! the node's budget until it is.
//!
//! Over the node's budget is 503 `overloaded`: any node may be less busy. Over the tenant's own it is 429
//! `rate_limited`: the tenant has to send less at once, wherever it sends it; and load balancers, which take a node
//! that answers 503 for a sick one, must not be led by one tenant to take it from all.

mod turns;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::header::CONTENT_LENGTH;
use schemas::problem::{Code, Problem};
use tokio::time::Instant;

use crate::metrics;
use crate::tenant::{Held, Tenant};

pub use turns::{SMALL_BYTES_MAX, Turns, Work};

/// The budgets of body bytes.
#[derive(Debug, Clone)]
pub struct Admission {
    node: Arc<Held>,
    keyless: Arc<Held>,
    limits: AdmissionLimits,
}

/// Bytes at most.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionLimits {
    /// Of all bodies, as sent and decompressed, that are being worked on.
    pub node: usize,
    /// Of those of one tenant, unless it is a single one.
    pub tenant: usize,
    /// Of one body as sent.
    pub body: usize,
}

/// A body's share of the budgets, held until the reply.
#[derive(Debug)]
pub struct Admitted {
    admission: Admission,
    /// `None`: not known yet.
    tenant: Option<Arc<Tenant>>,
    bytes: usize,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.node.give_back(self.bytes);
        self.sharers().give_back(self.bytes);
        ::metrics::gauge!(metrics::IN_FLIGHT_BYTES).decrement(for_gauge(self.bytes));
    }
}

/// Bytes for the gauge, of more than 4 GiB that many.
fn for_gauge(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

impl Admission {
    /// Budgets of which nothing is taken.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self { node: Arc::default(), keyless: Arc::default(), limits }
    }

    /// Admits a request before its body is read. A body without a length counts as the largest.
    ///
    /// # Errors
    /// 413 if its length is over the limit, 503 if the node is full, 429 if the tenant's share is.
    pub fn admit(&self, headers: &HeaderMap, tenant: Option<Arc<Tenant>>) -> Result<Admitted, Problem> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let bytes = length.unwrap_or(self.limits.body);
        if bytes > self.limits.body {
            return Err(self.too_large());
        }
        let mut admitted = Admitted { admission: self.clone(), tenant, bytes: 0 };
        admitted.grow(bytes)?;
        Ok(admitted)
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
        match tokio::time::timeout_at(deadline, collect(Limited::new(body, self.limits.body))).await {
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
            format!("a body may have {} bytes as sent: send smaller batches", self.limits.body),
        )
    }
}

impl Admitted {
    /// Takes more bytes.
    ///
    /// # Errors
    /// 503 if the node is full, 429 if the tenant's share is. Nothing is taken then.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let Admission { node, limits, .. } = &self.admission;
        if !node.take_strictly(bytes, limits.node) {
            return Err(full());
        }
        let taken = match &self.tenant {
            Some(tenant) if tenant.in_flight.take(self.bytes, bytes, limits.tenant) => Ok(()),
            Some(_) => Err(too_much_at_once()),
            None if self.admission.keyless.take(self.bytes, bytes, limits.node / 2) => Ok(()),
            None => Err(full()),
        };
        if taken.is_err() {
            node.give_back(bytes);
            return taken;
        }
        self.bytes += bytes;
        ::metrics::gauge!(metrics::IN_FLIGHT_BYTES).increment(for_gauge(bytes));
        Ok(())
    }

    /// Charges the tenant, now that it is known.
    ///
    /// # Errors
    /// 429 if its share is taken.
    pub fn belongs_to(&mut self, tenant: &Arc<Tenant>) -> Result<(), Problem> {
        if self.tenant.is_some() {
            return Ok(());
        }
        if !tenant.in_flight.take(0, self.bytes, self.admission.limits.tenant) {
            return Err(too_much_at_once());
        }
        self.admission.keyless.give_back(self.bytes);
        self.tenant = Some(Arc::clone(tenant));
        Ok(())
    }

    fn sharers(&self) -> &Held {
        self.tenant.as_ref().map_or(&self.admission.keyless, |tenant| &tenant.in_flight)
    }
}

fn full() -> Problem {
    Problem::new(Code::Overloaded, "the node works on as many bytes as it can: try again soon")
}

fn too_much_at_once() -> Problem {
    Problem::new(
        Code::RateLimited,
        "the tenant has as many bytes under way as it may: send fewer requests at once, or smaller ones",
    )
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
mod tests;
