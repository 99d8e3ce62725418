//! Distributed traces: spans of requests, batches and jobs, sent to an OpenTelemetry receiver (OTLP over HTTP).
//!
//! A process has one exporter, as it has one logger and one metrics recorder: [`export`] starts it. Without it, or for
//! a request that is not sampled, a [`Span`] is empty, and each of its functions is one branch.
//!
//! # What is sampled
//! * A request that names a sampled parent (`traceparent`, W3C Trace Context) follows it, a request that names an
//!   unsampled one does not.
//! * Of requests that name none, and of batches, the part that the settings say.
//! * Jobs always: there are few.
//! * Requests and batches only so many in a second, whatever their senders ask for.
//!
//! # What is promised
//! Nothing waits for a receiver: spans go into a queue of fixed length, and what it can't take is counted and dropped.

mod config;
mod context;
mod export;
mod otlp;

use std::borrow::Cow;
use std::time::Instant;

pub use config::TraceConfig;
pub use context::{Context, SpanId, TraceId, traceparent};
pub use export::{Exporting, export};

use crate::clock::Clock;
use export::Exporter;

/// On which side of a call between processes a span stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On none.
    Internal,
    /// Answers a request.
    Server,
    /// Waits for a reply.
    Client,
    /// Hands a message over.
    Producer,
    /// Takes a message.
    Consumer,
}

/// What an attribute says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

/// Work with a begin and an end, which it has when it is dropped; or nothing, where no trace is.
#[derive(Debug, Default)]
#[must_use = "a span ends when it is dropped"]
pub struct Span(Option<Box<Live>>);

/// A span that will be sent.
#[derive(Debug)]
struct Live {
    record: Record,
    exporter: &'static Exporter,
    begun: Instant,
    /// `None`: when it is dropped.
    ended: Option<Instant>,
}

/// A span as it is sent.
#[derive(Debug)]
struct Record {
    name: Cow<'static, str>,
    kind: Kind,
    context: Context,
    parent: Option<SpanId>,
    begun_ns: u64,
    ended_ns: u64,
    attributes: Vec<(&'static str, Value)>,
    links: Vec<Context>,
    /// Why the work failed.
    failure: Option<Cow<'static, str>>,
}

/// Bytes of a name or a text: clients write some, and the queue is bounded by the number of spans.
const TEXT_BYTES_MAX: usize = 256;

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.shrink_to_fit();
    }
    text
}

/// Whether spans are sent at all.
#[must_use]
pub fn is_on() -> bool {
    Exporter::get().is_some()
}

impl Span {
    /// No span.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The span of a request; `traceparent` finds the header of that name, if there is exactly one.
    #[inline]
    pub fn request<'h>(traceparent: impl FnOnce() -> Option<&'h str>) -> Self {
        let Some(exporter) = Exporter::get() else { return Self(None) };
        let parent = traceparent().and_then(Context::parse);
        let is_wanted = parent.map_or_else(|| exporter.chance(), |parent| parent.is_sampled());
        if !is_wanted || !exporter.turn() {
            return Self(None);
        }
        Self::begin(exporter, parent, Kind::Server, Cow::Borrowed("request"))
    }

    /// The first span of a trace of its own, if `must` or chance has it so.
    #[inline]
    pub fn root(name: &'static str, must: bool) -> Self {
        match Exporter::get() {
            Some(exporter) if (must || exporter.chance()) && exporter.turn() => {
                Self::begin(exporter, None, Kind::Internal, Cow::Borrowed(name))
            }
            Some(_) | None => Self(None),
        }
    }

    /// The span of a job, of which there are few.
    #[inline]
    pub fn job(name: &'static str) -> Self {
        let begin = |exporter| Self::begin(exporter, None, Kind::Internal, Cow::Borrowed(name));
        Exporter::get().map_or(Self(None), begin)
    }

    /// A part of another process's span, that is still to end.
    #[inline]
    pub fn after(parent: Context, name: &'static str, kind: Kind) -> Self {
        match Exporter::get() {
            Some(exporter) if parent.is_sampled() && parent.is_valid() => {
                Self::begin(exporter, Some(parent), kind, Cow::Borrowed(name))
            }
            Some(_) | None => Self(None),
        }
    }

    /// A part of this span.
    #[inline]
    pub fn child(&self, name: &'static str, kind: Kind) -> Self {
        let Some(live) = &self.0 else { return Self(None) };
        Self::begin(live.exporter, Some(live.record.context), kind, Cow::Borrowed(name))
    }

    /// What children in other processes name as their parent.
    #[must_use]
    #[inline]
    pub fn context(&self) -> Option<Context> {
        self.0.as_ref().map(|live| live.record.context)
    }

    /// Gives it another name; not called where there is no trace.
    #[inline]
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(live) = &mut self.0 {
            live.record.name = Cow::Owned(cut(name()));
        }
    }

    /// Sets an attribute; `value` is not called where there is no trace.
    #[inline]
    pub fn set<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(live) = &mut self.0 {
            let value = match value().into() {
                Value::Text(Cow::Owned(text)) => Value::Text(Cow::Owned(cut(text))),
                value @ (Value::Text(Cow::Borrowed(_)) | Value::Number(_)) => value,
            };
            live.record.attributes.push((key, value));
        }
    }

    /// Says that the work failed.
    #[inline]
    pub fn fail<W: Into<Cow<'static, str>>>(&mut self, why: impl FnOnce() -> W) {
        if let Some(live) = &mut self.0 {
            live.record.failure = Some(match why().into() {
                Cow::Owned(text) => Cow::Owned(cut(text)),
                why => why,
            });
        }
    }

    /// Names another trace's span that has to do with it.
    pub fn link(&mut self, to: Context) {
        if let Some(live) = &mut self.0 {
            live.record.links.push(to);
        }
    }

    /// Gives it the begin and the end that were measured.
    pub fn lasted(&mut self, begun: Instant, ended: Instant) {
        if let Some(live) = &mut self.0 {
            (live.begun, live.ended) = (begun, Some(ended));
        }
    }

    /// Gives it the begin that was measured.
    pub fn began(&mut self, begun: Instant) {
        if let Some(live) = &mut self.0 {
            live.begun = begun;
        }
    }

    /// Ends it without a trace: there was nothing to do.
    pub fn discard(mut self) {
        self.0 = None;
    }

    fn begin(
        exporter: &'static Exporter,
        parent: Option<Context>,
        kind: Kind,
        name: Cow<'static, str>,
    ) -> Self {
        let context = parent.map_or_else(Context::new, Context::child);
        let record = Record {
            name,
            kind,
            context,
            parent: parent.map(|parent| parent.span_id),
            begun_ns: 0,
            ended_ns: 0,
            attributes: Vec::new(),
            links: Vec::new(),
            failure: None,
        };
        Self(Some(Box::new(Live { record, exporter, begun: Instant::now(), ended: None })))
    }
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if let Some(live) = self.0.take() {
            live.end();
        }
    }
}

impl Live {
    /// Times of day follow from the clock as it is now, so that a span's length is right even if the clock is set.
    fn end(self) {
        let Self { mut record, exporter, begun, ended } = self;
        let (now, now_micros) = (Instant::now(), Clock::system().now_micros());
        let now_ns = u64::try_from(now_micros).unwrap_or_default().saturating_mul(1000);
        let at = |instant: Instant| {
            let ago = u64::try_from(now.saturating_duration_since(instant).as_nanos()).unwrap_or(u64::MAX);
            now_ns.saturating_sub(ago)
        };
        [record.begun_ns, record.ended_ns] = [begun, ended.unwrap_or(now)].map(at);
        exporter.put(record);
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
