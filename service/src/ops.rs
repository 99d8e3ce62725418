//! The operations listener of every role: `/healthz`, `/readyz`, `/metrics`. Not for the public.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::http::{HttpLimits, serve};
use crate::shutdown::Shutdown;

/// Whether the process does its work: set when it has started, unset when it begins to drain.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_set: AtomicBool,
    /// What keeps one of its roles from its work.
    hindrance: watch::Sender<Option<&'static str>>,
    has_one_role: bool,
}

impl Readiness {
    /// Of a process with one role, which is not ready while something hinders that.
    #[must_use]
    pub fn of_one_role() -> Self {
        Self(Arc::new(State { has_one_role: true, ..State::default() }))
    }

    /// Sets the answer of `/readyz`.
    pub fn set(&self, ready: bool) {
        self.0.is_set.store(ready, Ordering::Relaxed);
    }

    /// Something keeps a role from its work until a person helps, or nothing does any more. `/readyz` says so.
    pub fn hindered_by(&self, what: Option<&'static str>) {
        self.0.hindrance.send_replace(what);
    }

    fn answer(&self) -> (StatusCode, String) {
        let (is_set, hindrance) = (self.0.is_set.load(Ordering::Relaxed), *self.0.hindrance.borrow());
        let is_ready = is_set && !(self.0.has_one_role && hindrance.is_some());
        let (status, text) = if is_ready {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
        };
        (status, hindrance.map_or_else(|| text.to_owned(), |what| format!("{text}{what}\n")))
    }
}

/// Serves the three routes until `shutdown` is ordered.
pub async fn serve_ops(
    listener: TcpListener,
    readiness: Readiness,
    metrics: PrometheusHandle,
    shutdown: Shutdown,
) {
    let limits = HttpLimits {
        name: "ops",
        connections_max: 64,
        header_deadline: Duration::from_secs(10),
        idle_deadline: Duration::from_secs(75),
        write_deadline: Duration::from_secs(30),
        drain_grace: Duration::ZERO,
        drain_deadline: Duration::from_secs(1),
    };
    serve(listener, None, limits, shutdown, move |_| {
        let (readiness, metrics) = (readiness.clone(), metrics.clone());
        service_fn(move |request| std::future::ready(answer(&request, &readiness, &metrics)))
    })
    .await;
}

fn answer<B>(
    request: &Request<B>,
    readiness: &Readiness,
    metrics: &PrometheusHandle,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => readiness.answer(),
        "/metrics" => (StatusCode::OK, metrics.render()),
        _ => (StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
