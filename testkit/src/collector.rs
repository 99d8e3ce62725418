//! A receiver of traces: OTLP over HTTP, protobuf, as much of it as weir sends.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A span as it was sent; ids in hexadecimal.
#[derive(Debug, Clone, Default)]
pub struct SentSpan {
    /// `service.name` of its process.
    pub service: String,
    /// Its trace.
    pub trace_id: String,
    /// Itself.
    pub span_id: String,
    /// Its parent; empty: none.
    pub parent_id: String,
    /// What it is called.
    pub name: String,
    /// Nanoseconds since 1970.
    pub begun_ns: u64,
    /// Nanoseconds since 1970.
    pub ended_ns: u64,
    /// Its attributes, numbers in decimal.
    pub attributes: BTreeMap<String, String>,
    /// Trace and span of its links.
    pub links: Vec<(String, String)>,
}

/// A running receiver; it ends when it is dropped.
pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<SentSpan>>>,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// One that takes what it is sent.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let spans = Arc::default();
        let taken = Arc::clone(&spans);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                let service = service_fn(move |request| take(Arc::clone(&taken), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, spans, task }
    }

    /// One that accepts connections and never answers.
    pub async fn silent() -> Self {
        let (listener, address) = listen().await;
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(stream);
            }
        });
        Self { address, spans: Arc::default(), task }
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<SentSpan> {
        self.spans.lock().unwrap().clone()
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn take(
    taken: Arc<Mutex<Vec<SentSpan>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    assert_eq!(request.uri().path(), "/v1/traces");
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    for (_, resource_spans) in messages(&body, 1) {
        let resource = messages(resource_spans, 1).flat_map(|(_, resource)| attributes(resource, 1));
        let service = resource.collect::<BTreeMap<_, _>>()["service.name"].clone();
        for (_, scope_spans) in messages(resource_spans, 2) {
            let spans = messages(scope_spans, 2).map(|(_, message)| span(&service, message));
            taken.lock().unwrap().extend(spans);
        }
    }
    Ok(Response::new(Full::default()))
}

fn span(service: &str, message: &[u8]) -> SentSpan {
    let mut span = SentSpan { service: service.to_owned(), ..SentSpan::default() };
    span.attributes = attributes(message, 9).collect();
    for field in Fields(message) {
        match field {
            (1, Field::Bytes(id)) => span.trace_id = hex(id),
            (2, Field::Bytes(id)) => span.span_id = hex(id),
            (4, Field::Bytes(id)) => span.parent_id = hex(id),
            (5, Field::Bytes(name)) => span.name = text(name),
            (7, Field::Number(at)) => span.begun_ns = at,
            (8, Field::Number(at)) => span.ended_ns = at,
            (13, Field::Bytes(link)) => {
                let id = |wanted| messages(link, wanted).map(|(_, id)| hex(id)).next().unwrap();
                span.links.push((id(1), id(2)));
            }
            _ => {}
        }
    }
    span
}

fn attributes(message: &[u8], field: u32) -> impl Iterator<Item = (String, String)> {
    messages(message, field).map(|(_, pair)| {
        let key = messages(pair, 1).map(|(_, key)| text(key)).next().unwrap();
        let (_, value) = messages(pair, 2).next().unwrap();
        let value = match Fields(value).next().unwrap() {
            (_, Field::Bytes(value)) => text(value),
            (_, Field::Number(number)) => number.cast_signed().to_string(),
        };
        (key, value)
    })
}

fn messages(message: &[u8], wanted: u32) -> impl Iterator<Item = (u32, &[u8])> {
    Fields(message).filter_map(move |(field, value)| match value {
        Field::Bytes(bytes) if field == wanted => Some((field, bytes)),
        Field::Bytes(_) | Field::Number(_) => None,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A protobuf message's fields with their numbers.
struct Fields<'m>(&'m [u8]);

enum Field<'m> {
    Bytes(&'m [u8]),
    Number(u64),
}

impl<'m> Fields<'m> {
    fn varint(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first().unwrap();
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return number;
            }
            shift += 7;
        }
    }

    fn take(&mut self, len: usize) -> &'m [u8] {
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = (u32, Field<'m>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let key = self.varint();
        let field = u32::try_from(key >> 3).unwrap();
        let value = match key & 7 {
            0 => Field::Number(self.varint()),
            1 => Field::Number(u64::from_le_bytes(self.take(8).try_into().unwrap())),
            2 => {
                let len = usize::try_from(self.varint()).unwrap();
                Field::Bytes(self.take(len))
            }
            5 => Field::Number(u32::from_le_bytes(self.take(4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        Some((field, value))
    }
}
