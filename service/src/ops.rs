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

use crate::http::{HttpLimits, serve};
use crate::shutdown::Shutdown;

/// Whether the process does its work: set when it has started, unset when it begins to drain.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets the answer of `/readyz`.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
        "/readyz" if readiness.get() => (StatusCode::OK, "ready\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
        "/metrics" => (StatusCode::OK, metrics.render()),
        _ => (StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
