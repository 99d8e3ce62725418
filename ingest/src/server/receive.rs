use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use decode::room::Room;
use decode::{Batch, Rejection};
use eventlog::AppendError;
use hyper::header::{HeaderMap, USER_AGENT};
use hyper::{Uri, http};
use metering::period::Period;
use schemas::address::AddressPolicy;
use schemas::event::EventFlags;
use schemas::frame::{Envelope, Trace};
use schemas::key::PresentedKey;
use schemas::problem::{Code, Problem};
use schemas::time::Micros;
use service::trace::{Kind, Span};
use tokio::time::Instant;
use uuid::Uuid;

use super::Node;
use super::body::Form;
use super::counted::RequestCounts;
use super::reading::{BodyWork, By};
use super::upload::Upload;
use crate::admission::Work;
use crate::append::traced_frames;
use crate::lease::Charge;
use crate::outcomes::Attempt;
use crate::reply::{self, Receipt, Refusal, Reply};
use crate::routes::Dialect;
use crate::tenant::{Sender, Tenant};
use crate::validate::{Known, identify};
use crate::{admission, auth};

/// What is kept of the request's header for its frame.
struct Origin<'a> {
    request_id: Uuid,
    peer: IpAddr,
    /// What may be kept of that; one for the whole request, whatever is changed meanwhile.
    policy: AddressPolicy,
    headers: &'a HeaderMap,
    work: Work,
    span: &'a Span,
}

/// A request that brings events, without its body.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) dialect: Dialect,
    pub(super) parts: &'a http::request::Parts,
    pub(super) request_id: Uuid,
    pub(super) peer: IpAddr,
    pub(super) span: &'a Span,
}

impl Node {
    /// The path of a request that brings events, to its reply and its tenant's outcomes.
    pub(super) async fn receive(
        &self,
        arrival: Arrival<'_>,
        upload: &mut Upload,
        known: &mut Option<Arc<Tenant>>,
    ) -> Result<Reply, Refusal> {
        let mut attempt = Attempt::new(&self.outcomes);
        let mut reading = BodyWork::of_address(&self.addresses, arrival.peer);
        let result = self.take_in(arrival, upload, known, &mut attempt, &mut reading).await;
        let is_refused = result.as_ref().is_err_and(|refusal| refusal.problem.code.status() < 500);
        if known.is_some() && !is_refused {
            reading.is_free();
        }
        drop(reading);
        if let Err(refusal) = &result {
            attempt.refused(refusal.problem.code);
        }
        result
    }

    async fn take_in<'n>(
        &'n self,
        Arrival { dialect, parts, request_id, peer, span }: Arrival<'_>,
        upload: &mut Upload,
        known: &mut Option<Arc<Tenant>>,
        attempt: &mut Attempt<'_>,
        reading: &mut BodyWork<'n>,
    ) -> Result<Reply, Refusal> {
        let deadline = admission::deadline(self.config.request_deadline);
        let http::request::Parts { headers, uri, .. } = parts;
        // Known before the body is read, where header or query say so.
        let mut sender = presented(headers, uri)?.map(|key| self.sender(&key, attempt)).transpose()?;
        if sender.is_none() {
            if !dialect.has_key_in_body() {
                return Err(auth::missing().into());
            }
            self.addresses.check(peer).map_err(Refusal::too_often)?;
        }
        *known = sender.as_ref().map(|sender| Arc::clone(&sender.tenant));
        if let Some(sender) = &sender {
            reading.belongs_to(&self.rates, &sender.tenant);
            self.check_debts(&sender.tenant)?;
        }
        let form = Form::of(dialect, headers, uri.query())?;
        let mut admitted = self.admission.admit(headers, known.clone())?;
        let reading_body = span.child("read body", Kind::Internal);
        let body = upload.read(&self.admission, deadline).await?;
        drop(reading_body);
        let header_tenant = known.clone();
        let by = By { peer, tenant: header_tenant.as_deref(), deadline };
        let decoding = span.child("decode", Kind::Internal);
        let json = |room: &mut Room<'_>| form.json(body.clone(), headers, room);
        let plain = self.work_on(reading, by, &mut admitted, body.len(), json).await?;
        let received_at = self.timekeeper.now();
        let decode = |room: &mut Room<'_>| form.decode(&plain, received_at, room);
        let batch = self.work_on(reading, by, &mut admitted, plain.len(), decode).await?;
        drop(decoding);
        if sender.is_none() {
            let key = batch.key()?.ok_or_else(auth::missing)?;
            let found = self.sender(&auth::from_text(key)?, attempt)?;
            *known = Some(Arc::clone(&found.tenant));
            sender = Some(found);
        }
        let sender = sender.ok_or_else(auth::missing)?;
        admitted.belongs_to(&sender.tenant)?;
        let tally = RequestCounts::of(dialect, &self.accepted.of(dialect).events, &batch, attempt);
        if reading.has_key_in_body()
            && let Err(refusal) = self.check_debts(&sender.tenant)
        {
            tally.count(Err(&refusal), attempt);
            return Err(refusal);
        }
        let work = std::mem::take(&mut reading.work);
        let work = if by.tenant.is_some() {
            work
        } else {
            self.turn_of(work, By { tenant: Some(&sender.tenant), ..by }).await?
        };
        let policy = sender.tenant.terms.read().client_ip;
        let origin = Origin { request_id, peer, policy, headers, work, span };
        let accepted = self.accept(&sender, batch, &origin, reading, deadline).await;
        tally.count(accepted.as_ref(), attempt);
        let (receipt, events) = accepted?;
        let mut reply = reply::foreign(request_id, dialect, &receipt, &events);
        if headers.contains_key(reply::RECEIPT) {
            self.sign(&mut reply, &sender, (request_id, receipt.received_at), &events);
        }
        Ok(reply)
    }

    /// A key that is not good any more, or its tenant, is counted all the same.
    fn sender(&self, key: &PresentedKey, attempt: &mut Attempt<'_>) -> Result<Sender, Problem> {
        let now = self.timekeeper.now();
        let found = self.directory.sender(key, now);
        let holder = match &found {
            Ok(sender) => Some(sender.holder()),
            Err(_) => self.directory.holder(key),
        };
        if let Some(holder) = holder {
            attempt.comes_from(holder, now);
        }
        found
    }

    /// Refuses what could not be accepted whatever its body holds: not one event of it would pass.
    ///
    /// # Errors
    /// 429, 402, or 503 if events can't be stamped. Asked before the body is read, or once it has said whose it is.
    fn check_debts(&self, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        self.rates.check(tenant).map_err(too_fast)?;
        let received_at = self.received_at(tenant)?;
        match self.leases.used_up(tenant, received_at) {
            Some(period) => Err(self.used_up(&period).into()),
            None => Ok(()),
        }
    }

    /// When an event of the tenant is received that is taken now.
    fn received_at(&self, tenant: &Tenant) -> Result<Micros, Problem> {
        let zone = tenant.terms.read().zone;
        self.timekeeper.received_at(zone)
    }

    /// Charges rate and quota, and brings what they cover into the log.
    async fn accept<'a>(
        &self,
        sender: &Sender,
        batch: Batch<'a>,
        origin: &Origin<'_>,
        reading: &mut BodyWork<'_>,
        deadline: Instant,
    ) -> Result<(Receipt, Vec<Known<'a>>), Refusal> {
        let Batch { events, mut rejected, .. } = batch;
        // Each that was read costs its work, whatever becomes of it.
        let seen = u32::try_from(events.len() + rejected.len()).unwrap_or(u32::MAX);
        let received_at = self.received_at(&sender.tenant)?;
        self.rates.charge(&sender.tenant, seen).map_err(too_fast)?;
        reading.has_paid(seen);
        let (mut events, duplicate_of_request) =
            self.turns.run(&origin.work, || identify(sender.project, events)).await;
        events.iter_mut().for_each(|known| known.correct_time(received_at));
        let too_large = Problem::new(Code::EventTooLarge, "it takes more bytes than an event may");
        for large in events.extract_if(.., |known| !known.is_within_limits()) {
            rejected.push(refuse(&large, &too_large));
        }
        if events.is_empty() {
            return Err(every_event_bad(&rejected).into());
        }
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let charge = self.leases.charge(&sender.tenant, received_at, count).await?;
        let spent = charge.spent;
        if spent.events == 0 {
            return Err(self.used_up(&spent.period).into());
        }
        if origin.policy != AddressPolicy::Full {
            events.iter_mut().for_each(|known| known.flag(EventFlags::ADDRESS_SHORT));
        }
        let covered = usize::try_from(spent.events).unwrap_or(usize::MAX).min(events.len());
        let over = events.split_off(covered);
        if !over.is_empty() {
            let problem = self.used_up(&spent.period);
            rejected.extend(over.iter().map(|known| refuse(known, &problem)));
        }
        rejected.sort_by_key(|rejection| rejection.index);
        // Of the period that it is counted in, also where another request reached that period a moment ago.
        let received_at = received_at.max(spent.period.start);
        self.append(sender, &events, received_at, charge, origin, deadline).await?;
        Ok((Receipt { received_at, accepted: spent.events, duplicate_of_request, rejected }, events))
    }

    async fn append(
        &self,
        sender: &Sender,
        events: &[Known<'_>],
        received_at: Micros,
        charge: Charge,
        origin: &Origin<'_>,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let spent = charge.spent;
        let user_agent = origin.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let envelope = Envelope {
            tenant: sender.tenant.id,
            project: sender.project,
            key: sender.key,
            lease: spent.lease,
            period_start: spent.period.start.seconds(),
            received_at,
            request_id: origin.request_id,
            client_ip: origin.policy.kept(origin.peer),
            user_agent: user_agent.unwrap_or_default(),
        };
        let mut span = origin.span.child("append", Kind::Producer);
        span.set("weir.events", || events.len());
        let trace = span.context().map(|context| Trace {
            flags: context.flags,
            trace_id: context.trace_id,
            span_id: context.span_id,
        });
        let write = || traced_frames(&envelope, trace.as_ref(), events, self.log.partitions());
        let records = self.turns.run(&origin.work, write).await;
        let too_large = |why| Problem::new(Code::EventTooLarge, format!("nothing was stored: {why}"));
        let records = records.map_err(too_large)?;
        let left = deadline.saturating_duration_since(Instant::now());
        self.check_late(&sender.tenant, left)?;
        let log = Arc::clone(&self.log);
        let append = charge.append(async move { log.append(records, left).await });
        faults::point("ingest.before_append");
        if faults::mutant("reply-before-durable") {
            tokio::spawn(append);
            return Ok(());
        }
        match append.await {
            Ok(()) => {
                faults::point("ingest.after_append");
                Ok(())
            }
            Err(AppendError::Refused(why) | AppendError::Rejected(why)) => {
                span.fail(|| "refused by the log");
                tracing::warn!(request_id = %origin.request_id, why, "the log refused a request");
                let detail =
                    "the log takes no events at the moment; nothing was stored: send the same events again";
                Err(Problem::new(Code::Overloaded, detail).into())
            }
            Err(AppendError::Unknown(why)) => {
                let copied =
                    self.append_copy(sender, events, &envelope, trace.as_ref(), &spent, deadline).await;
                let Err(no_copy) = copied else { return Ok(()) };
                span.fail(|| "not confirmed by the log");
                let why = format!("{why}; {no_copy}");
                tracing::warn!(request_id = %origin.request_id, why, "the log did not confirm a request");
                let detail = "the log did not confirm in time; send the same events with the same ids again, \
                    none is stored twice";
                Err(Problem::new(Code::NotDurable, detail).into())
            }
        }
    }

    /// A node that slept may have been taken for dead, and its slice given to others. The deadline shows it; where the
    /// whole machine slept, and its deadlines with it, the clock does.
    fn check_late(&self, tenant: &Tenant, left: Duration) -> Result<(), Problem> {
        if left.is_zero() {
            let detail = "the node was too slow; nothing was stored: send again";
            return Err(Problem::new(Code::Overloaded, detail));
        }
        self.received_at(tenant).map(drop)
    }

    fn used_up(&self, period: &Period) -> Problem {
        let until = period.end_text();
        let upgrade = self.config.upgrade_url.as_ref().map(|url| format!(", see {url}")).unwrap_or_default();
        let detail =
            format!("the plan's quota is used up until {until}: wait for it, or change the plan{upgrade}");
        Problem::new(Code::QuotaExceeded, detail)
    }
}

/// Of several keys that of the header counts, then that of the query.
fn presented(headers: &HeaderMap, uri: &Uri) -> Result<Option<PresentedKey>, Problem> {
    match auth::from_header(headers)? {
        Some(key) => Ok(Some(key)),
        None => uri.query().map_or(Ok(None), auth::from_query),
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
    let seconds = reply::whole_seconds(wait);
    let detail = format!(
        "the tenant sends faster than its plan allows: wait {seconds} s, and send fewer events a second"
    );
    Refusal { problem: Problem::new(Code::RateLimited, detail), retry_after: Some(seconds) }
}
