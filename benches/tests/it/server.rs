//! A server that answers as a test says, and stores each id once, as weir promises to.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Store all, say so.
    Accept,
    /// Store all, say so, and close the connection.
    AcceptAndClose,
    /// Store all but these, say so.
    RejectSome(Vec<usize>),
    /// Store nothing, say so.
    Refuse(u16, &'static str),
    /// Store all or nothing, say that it is not known.
    Unsure { stored: bool },
    /// Store all or nothing, break off in the middle of the reply.
    CutReply { stored: bool },
    /// Store all or nothing, never answer.
    Silence { stored: bool },
}

/// Decides by the number of the request, from 0, over all connections.
pub(crate) trait Answers: Fn(usize) -> Answer + Send + Sync + 'static {}
impl<F: Fn(usize) -> Answer + Send + Sync + 'static> Answers for F {}

/// What one request held.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) ids: Vec<String>,
    pub(crate) headers: HeaderMap,
}

impl Received {
    pub(crate) fn key(&self) -> &str {
        self.headers[AUTHORIZATION].to_str().unwrap()
    }
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    stored: BTreeMap<String, u64>,
}

pub(crate) struct Server {
    url: String,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(answers: impl Answers) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers)
    }

    /// Serves on a listener that is bound already.
    pub(crate) fn serve(listener: TcpListener, answers: impl Answers) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, answers) = (Arc::clone(&state), Arc::new(answers));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, answers) = (Arc::clone(&shared), Arc::clone(&answers));
                let service =
                    service_fn(move |request| handle(request, Arc::clone(&state), Arc::clone(&answers)));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, state, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().received.clone()
    }

    /// Ids, and how many rows each has.
    pub(crate) fn stored(&self) -> BTreeMap<String, u64> {
        self.state.lock().stored.clone()
    }
}

type Reply = Response<BoxBody<Bytes, std::io::Error>>;

async fn handle(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    answers: Arc<impl Answers>,
) -> Result<Reply, std::io::Error> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/events"));
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let ids = ids(&headers, &body);
    let number = {
        let mut state = state.lock();
        state.received.push(Received { ids: ids.clone(), headers });
        state.received.len() - 1
    };
    let store = |kept: &dyn Fn(usize) -> bool| {
        let mut state = state.lock();
        for (_, id) in ids.iter().enumerate().filter(|(at, _)| kept(*at)) {
            state.stored.insert(id.clone(), 1);
        }
    };
    let answer = answers(number);
    match &answer {
        Answer::Accept | Answer::AcceptAndClose => store(&|_| true),
        Answer::RejectSome(rejected) => store(&|at| !rejected.contains(&at)),
        Answer::Refuse(..) => {}
        Answer::Unsure { stored } | Answer::CutReply { stored } | Answer::Silence { stored } => {
            store(&|_| *stored)
        }
    }
    match answer {
        Answer::Accept => Ok(reply(202, &accepted(&ids, &[]))),
        Answer::AcceptAndClose => {
            let mut reply = reply(202, &accepted(&ids, &[]));
            reply.headers_mut().insert(CONNECTION, "close".parse().unwrap());
            Ok(reply)
        }
        Answer::RejectSome(rejected) => Ok(reply(202, &accepted(&ids, &rejected))),
        Answer::Refuse(status, code) => Ok(reply(status, &json!({"status": status, "code": code}))),
        Answer::Unsure { .. } => Ok(reply(503, &json!({"status": 503, "code": "not_durable"}))),
        Answer::CutReply { .. } => Ok(cut(&accepted(&ids, &[]))),
        Answer::Silence { .. } => std::future::pending().await,
    }
}

fn ids(headers: &HeaderMap, body: &[u8]) -> Vec<String> {
    let mut plain = Vec::new();
    match headers.get(CONTENT_ENCODING).map(|value| value.to_str().unwrap()) {
        None => plain.extend_from_slice(body),
        Some("gzip") => {
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).unwrap();
        }
        Some(other) => panic!("content encoding {other}"),
    }
    let document: Value = serde_json::from_slice(&plain).unwrap();
    let events = document["batch"].as_array().unwrap();
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn accepted(ids: &[String], rejected: &[usize]) -> Value {
    let items: Vec<_> = rejected
        .iter()
        .map(|at| json!({"index": at, "id": ids[*at], "code": "invalid_event", "detail": "no name"}))
        .collect();
    json!({"accepted": ids.len() - rejected.len(), "duplicate_of_request": 0, "rejected": items})
}

fn reply(status: u16, body: &Value) -> Reply {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
    Response::builder().status(status).body(body.boxed()).unwrap()
}

/// A 202 whose body says less than its length, and then fails.
fn cut(body: &Value) -> Reply {
    let text = body.to_string();
    let half = Bytes::from(text[..text.len() / 2].to_owned());
    let frames = [Ok(Frame::data(half)), Err(std::io::Error::other("cut"))];
    Response::builder()
        .status(202)
        .header(CONTENT_LENGTH, text.len())
        .body(BodyExt::boxed(StreamBody::new(stream::iter(frames))))
        .unwrap()
}
