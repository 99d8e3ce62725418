use std::net::IpAddr;
use std::time::Duration;

use billing::period::Period;
use bytes::Bytes;
use eventlog::AppendError;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, USER_AGENT};
use hyper::{Request, http};
use schemas::frame::Envelope;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;
use tokio::time::Instant;
use uuid::Uuid;

use super::Node;
use crate::append::frames;
use crate::decode::{self, Batch, NativeShape, Rejection};
use crate::decompress::{Encoding, decompress};
use crate::directory::Sender;
use crate::lease::Spent;
use crate::reply::{self, Receipt, Refusal, Reply};
use crate::routes::Route;
use crate::validate::{Known, identify};
use crate::{admission, auth, metrics};

/// What is kept of the request's header for its frame.
struct Origin<'a> {
    request_id: Uuid,
    peer: IpAddr,
    headers: &'a HeaderMap,
}

impl Node {
    /// The path of a request that brings events.
    pub(super) async fn receive(
        &self,
        route: Route,
        request: Request<Incoming>,
        request_id: Uuid,
        peer: IpAddr,
    ) -> Result<Reply, Refusal> {
        let deadline = admission::deadline(self.config.request_deadline);
        let (http::request::Parts { headers, .. }, body) = request.into_parts();
        let presented = auth::from_header(&headers)?;
        if presented.is_none() && route == Route::Native {
            return Err(auth::missing().into());
        }
        // Known before the body is read, where the header says so.
        let mut sender = presented.map(|key| self.sender(&key)).transpose()?;
        let shape = if route == Route::Native { native_shape(&headers)? } else { NativeShape::Json };
        let encoding = encoding(&headers)?;
        let _admitted = self.admission.admit(&headers)?;
        let body = self.admission.read(body, deadline).await?;
        let body: Bytes = decompress(encoding, body, self.config.inflated_bytes_max)?;
        let batch = match route {
            Route::Segment(kind) => decode::segment(&body, kind)?,
            Route::Native | Route::ErrorPage(_) => decode::native(&body, shape)?,
        };
        if sender.is_none() {
            let key = batch.write_key.as_deref().ok_or_else(auth::missing)?;
            sender = Some(self.sender(&auth::from_text(key)?)?);
        }
        let sender = sender.ok_or_else(auth::missing)?;
        let origin = Origin { request_id, peer, headers: &headers };
        let receipt = self.accept(&sender, batch, &origin, deadline).await?;
        count_events(&receipt);
        Ok(match route {
            Route::Segment(_) => reply::segment(request_id),
            Route::Native | Route::ErrorPage(_) => reply::native(request_id, &receipt),
        })
    }

    fn sender(&self, key: &schemas::key::PresentedKey) -> Result<Sender, Problem> {
        self.directory.sender(key, Micros(self.clock.now_micros()))
    }

    /// Charges rate and quota, and brings what they cover into the log.
    async fn accept(
        &self,
        sender: &Sender,
        batch: Batch<'_>,
        origin: &Origin<'_>,
        deadline: Instant,
    ) -> Result<Receipt, Refusal> {
        let Batch { events, mut rejected, .. } = batch;
        let (mut events, duplicate_of_request) = identify(sender.project, events);
        if events.is_empty() {
            return Err(every_event_bad(&rejected).into());
        }
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        sender.tenant.rate.charge(count).map_err(too_fast)?;
        let received_at = Micros(self.clock.now_micros());
        let spent = self.leases.spend(&sender.tenant, received_at, count).await?;
        if spent.events == 0 {
            return Err(self.used_up(&spent.period).into());
        }
        let covered = usize::try_from(spent.events).unwrap_or(usize::MAX).min(events.len());
        let over = events.split_off(covered);
        if !over.is_empty() {
            let problem = self.used_up(&spent.period);
            rejected.extend(over.iter().map(|known| refuse(known, &problem)));
            rejected.sort_by_key(|rejection| rejection.index);
        }
        self.append(sender, &events, received_at, &spent, origin, deadline).await?;
        Ok(Receipt { accepted: spent.events, duplicate_of_request, rejected })
    }

    async fn append(
        &self,
        sender: &Sender,
        events: &[Known<'_>],
        received_at: Micros,
        spent: &Spent,
        origin: &Origin<'_>,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let user_agent = origin.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let envelope = Envelope {
            tenant: sender.tenant.id,
            project: sender.project,
            key: sender.key,
            lease: spent.lease,
            period_start: spent.period.start.seconds(),
            // Of the period that it is counted in, also where another request reached that period a moment ago.
            received_at: received_at.max(spent.period.start),
            request_id: origin.request_id,
            client_ip: Some(match origin.peer {
                IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                IpAddr::V6(ip) => ip,
            }),
            user_agent: user_agent.unwrap_or_default(),
        };
        let records = frames(&envelope, events, self.log.partitions());
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Whoever slept for so long may have been taken for dead, and the slice given to others.
            self.leases.refund(&sender.tenant, spent);
            return Err(Problem::new(
                Code::Overloaded,
                "the node was too slow; nothing was stored: send again",
            )
            .into());
        }
        match self.log.append(records, left).await {
            Ok(()) => Ok(()),
            Err(AppendError::Refused(why)) => {
                self.leases.refund(&sender.tenant, spent);
                tracing::warn!(request_id = %origin.request_id, why, "the log refused a request");
                let detail =
                    "the log takes no events at the moment; nothing was stored: send the same events again";
                Err(Problem::new(Code::Overloaded, detail).into())
            }
            Err(AppendError::Unknown(why)) => {
                tracing::warn!(request_id = %origin.request_id, why, "the log did not confirm a request");
                let detail = "the log did not confirm in time; send the same events with the same ids again, none is stored twice";
                Err(Problem::new(Code::NotDurable, detail).into())
            }
        }
    }

    fn used_up(&self, period: &Period) -> Problem {
        let until = period.end_text();
        let upgrade = self.config.upgrade_url.as_ref().map(|url| format!(", see {url}")).unwrap_or_default();
        let detail =
            format!("the plan's quota is used up until {until}: wait for it, or change the plan{upgrade}");
        Problem::new(Code::QuotaExceeded, detail)
    }
}

/// The native route is strict about what it is sent: a form's content type means that a client forgot to set one.
fn native_shape(headers: &HeaderMap) -> Result<NativeShape, Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(NativeShape::Json) };
    let value = value.to_str().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(NativeShape::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(NativeShape::Ndjson),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "send `Content-Type: application/json`, or `application/x-ndjson` for one event a line",
        )
        .at("content-type")),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Option<Encoding>, Problem> {
    match headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?")) {
        Some(value) => Encoding::from_header(value),
        None => Ok(None),
    }
}

fn every_event_bad(rejected: &[Rejection]) -> Problem {
    match rejected {
        [] => Problem::new(Code::InvalidBatch, "there is no event in the body"),
        [only] => only.problem.clone(),
        [first, ..] => {
            let detail = format!(
                "none of the {} events is valid; the first: {}",
                rejected.len(),
                first.problem.detail
            );
            Problem { detail: detail.into(), ..first.problem.clone() }
        }
    }
}

fn refuse(known: &Known<'_>, problem: &Problem) -> Rejection {
    Rejection { index: known.index(), id: Some(known.id().to_owned()), problem: problem.clone() }
}

fn too_fast(wait: Duration) -> Refusal {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    let detail = format!(
        "the tenant sends faster than its plan allows: wait {seconds} s, or send larger batches less often"
    );
    Refusal { problem: Problem::new(Code::RateLimited, detail), retry_after: Some(seconds) }
}

fn count_events(receipt: &Receipt) {
    ::metrics::counter!(metrics::EVENTS, "outcome" => "accepted").increment(receipt.accepted.into());
    if receipt.duplicate_of_request > 0 {
        ::metrics::counter!(metrics::EVENTS, "outcome" => "duplicate_of_request")
            .increment(receipt.duplicate_of_request.into());
    }
    for rejection in &receipt.rejected {
        ::metrics::counter!(metrics::EVENTS, "outcome" => rejection.problem.code.as_str()).increment(1);
    }
}
