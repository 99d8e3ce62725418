//! The way of spans to their receiver.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Record, TraceConfig, Value, otlp};
use crate::error::Chain;
use crate::metrics::TRACE_SPANS;
use crate::shutdown::{Shutdown, ShutdownTrigger};

/// Spans that wait: some 2 MiB of memory, 10 MiB where each of their texts is as long as it may be.
const QUEUE_SPANS: usize = 4_096;
/// Spans of one request to the receiver.
const REQUEST_SPANS: usize = 512;
/// How long a span waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How long the receiver has for one request.
const REPLY_DEADLINE: Duration = Duration::from_secs(5);
/// A reply is not read beyond so many bytes.
const REPLY_BYTES_MAX: usize = 64 * 1024;
/// Pauses before spans are sent again; then they are given up.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// How often a receiver that fails stands in the log.
const WARN_EVERY: Duration = Duration::from_secs(60);

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

/// What spans know of the way.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: Sender<Record>,
    sample: f64,
    per_second_max: u32,
    begun: Instant,
    /// The second since `begun`, 32 bits, and how many were sampled in it.
    taken: AtomicU64,
}

/// A running exporter.
#[derive(Debug)]
pub struct Exporting {
    trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

/// Starts the process's exporter, if the settings name a receiver; `service` is what the process is called there.
/// Call it once, inside the runtime: further calls change nothing.
pub fn export(config: &TraceConfig, service: &'static str) -> Option<Exporting> {
    let url = config.url.clone()?;
    let (queue, spans) = channel(QUEUE_SPANS);
    let exporter = Exporter {
        queue,
        sample: config.sample,
        per_second_max: config.per_second_max,
        begun: Instant::now(),
        taken: AtomicU64::new(0),
    };
    EXPORTER.set(exporter).ok()?;
    let instance = uuid::Uuid::now_v7().to_string();
    let resource = vec![
        ("service.name", service.into()),
        ("service.namespace", "weir".into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("service.instance.id", instance.into()),
    ];
    let client = Client::builder(TokioExecutor::new()).build_http();
    let way = Way { client, url, fields: config.header_fields(), resource, warned_at: None };
    let (trigger, shutdown) = Shutdown::new();
    Some(Exporting { trigger, task: tokio::spawn(way.carry(spans, shutdown)) })
}

impl Exporting {
    /// Sends what is left, within `deadline`; what comes later is dropped.
    pub async fn finish(self, deadline: Duration) {
        self.trigger.order();
        if timeout(deadline, self.task).await.is_err() {
            tracing::warn!("the last spans were not sent in time");
        }
    }
}

impl Exporter {
    #[inline]
    pub(super) fn get() -> Option<&'static Self> {
        EXPORTER.get()
    }

    /// Whether a trace that nobody asks for is sampled.
    pub(super) fn chance(&self) -> bool {
        rand::random::<f64>() < self.sample
    }

    /// Whether one more may be sampled in this second.
    pub(super) fn turn(&self) -> bool {
        let second = self.begun.elapsed().as_secs() << 32;
        let turn = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            if taken < second {
                return Some(second + 1);
            }
            (taken & u64::from(u32::MAX) < u64::from(self.per_second_max)).then_some(taken + 1)
        });
        turn.is_ok()
    }

    /// Puts a span on its way, unless too many wait.
    pub(super) fn put(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            count("dropped", 1);
        }
    }
}

/// The task that sends.
struct Way {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    fields: Vec<(HeaderName, HeaderValue)>,
    resource: Vec<(&'static str, Value)>,
    warned_at: Option<Instant>,
}

/// Why spans were not taken.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the receiver can't be reached")]
    Client(#[from] hyper_util::client::legacy::Error),
    #[error("the receiver's reply broke off")]
    Reply(#[source] crate::http::BoxError),
    #[error("the receiver answered {0}")]
    Status(StatusCode),
    #[error("the receiver did not answer within {} s", REPLY_DEADLINE.as_secs())]
    Slow,
    #[error("the request can't be made")]
    Request(#[from] hyper::http::Error),
}

impl Way {
    /// Sends until `shutdown` is ordered and nothing is left.
    async fn carry(mut self, mut spans: Receiver<Record>, shutdown: Shutdown) {
        let mut some = Vec::with_capacity(REQUEST_SPANS);
        loop {
            tokio::select! {
                received = spans.recv_many(&mut some, REQUEST_SPANS) => {
                    if received == 0 {
                        return;
                    }
                }
                () = shutdown.ordered(), if !spans.is_closed() => {
                    spans.close();
                    continue;
                }
            }
            if some.len() < REQUEST_SPANS && !shutdown.is_ordered() {
                tokio::select! {
                    () = tokio::time::sleep(LINGER) => {}
                    () = shutdown.ordered() => {}
                }
                while some.len() < REQUEST_SPANS
                    && let Ok(record) = spans.try_recv()
                {
                    some.push(record);
                }
            }
            self.send(&some, &shutdown).await;
            some.clear();
        }
    }

    /// Sends, again where that may help, or gives up.
    async fn send(&mut self, some: &[Record], shutdown: &Shutdown) {
        let body = Bytes::from(otlp::request(&self.resource, some));
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match self.post(body.clone()).await {
                Ok(()) => return count("sent", some.len()),
                Err(error) => error,
            };
            let pause = pauses.next().filter(|_| error.may_pass() && !shutdown.is_ordered());
            let Some(pause) = pause else {
                self.warn(&error, some.len());
                return count("failed", some.len());
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.ordered() => {}
            }
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), SendError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/x-protobuf");
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let reply = self.client.request(request).await?;
            let status = reply.status();
            let rest = Limited::new(reply.into_body(), REPLY_BYTES_MAX);
            rest.collect().await.map_err(SendError::Reply)?;
            if status.is_success() { Ok(()) } else { Err(SendError::Status(status)) }
        };
        timeout(REPLY_DEADLINE, exchange).await.map_err(|_| SendError::Slow)?
    }

    fn warn(&mut self, error: &SendError, spans: usize) {
        if self.warned_at.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            return;
        }
        self.warned_at = Some(Instant::now());
        tracing::warn!(error = %Chain(error), spans, url = %self.url, "spans were not sent");
    }
}

impl SendError {
    /// Whether the same spans may be taken later: OTLP names the statuses.
    fn may_pass(&self) -> bool {
        match self {
            Self::Client(_) | Self::Reply(_) | Self::Slow => true,
            Self::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Request(_) => false,
        }
    }
}

fn count(result: &'static str, spans: usize) {
    ::metrics::counter!(TRACE_SPANS, "result" => result).increment(u64::try_from(spans).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_sampled_in_a_second_and_not_one_more() {
        let exporter = |begun| Exporter {
            queue: channel(1).0,
            sample: 0.0,
            per_second_max: 3,
            begun,
            taken: AtomicU64::new(0),
        };
        let now = exporter(Instant::now());
        assert_eq!((0..5).filter(|_| now.turn()).count(), 3);
        let later = exporter(Instant::now().checked_sub(Duration::from_secs(7)).unwrap());
        later.taken.store(6 << 32 | 3, Ordering::Relaxed);
        assert_eq!((0..5).filter(|_| later.turn()).count(), 3, "a new second");
        assert!(!later.chance());
    }
}
