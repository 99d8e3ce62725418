//! The service: one request after the other along the path, and the life of the node.

mod receive;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use eventlog::EventLog;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use schemas::problem::Problem;
use service::clock::Clock;
use service::http::{HttpLimits, serve};
use service::shutdown::Shutdown;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::admission::Admission;
use crate::config::IngestConfig;
use crate::directory::{self, Directory};
use crate::lease::{self, Keeper, Leases};
use crate::metrics;
use crate::reply::{self, Refusal, Reply};
use crate::routes::{Route, route};

/// An ingest node that is ready to run.
pub struct Ingest {
    listener: TcpListener,
    node: Arc<Node>,
    keeper: Keeper,
    pool: PgPool,
    changes: PgListener,
}

/// What requests share.
struct Node {
    config: IngestConfig,
    clock: Clock,
    directory: Arc<Directory>,
    leases: Arc<Leases>,
    admission: Admission,
    log: Arc<dyn EventLog>,
}

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error("can't listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// Keys and tenants can't be loaded.
    #[error("keys and tenants can't be loaded from Postgres")]
    Directory(#[source] sqlx::Error),
    /// The node can't be registered.
    #[error(transparent)]
    Keeper(#[from] lease::KeeperError),
}

impl Ingest {
    /// Binds the address, loads keys and tenants, registers the node.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(
        config: IngestConfig,
        pool: PgPool,
        log: Arc<dyn EventLog>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
        let directory = Arc::new(Directory::default());
        let changes = directory::load(&directory, &pool).await.map_err(StartError::Directory)?;
        let (leases, keeper) = lease::keep(pool.clone(), config.lease_time).await?;
        let admission = Admission::new(config.in_flight_bytes_max, config.body_bytes_max);
        let node = Arc::new(Node { config, clock, directory, leases, admission, log });
        Ok(Self { listener, node, keeper, pool, changes })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// If the system does not know.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ordered: then no more connections, requests in flight end, quota goes back.
    pub async fn run(self, shutdown: Shutdown) {
        let config = &self.node.config;
        let limits = HttpLimits {
            connections_max: config.connections_max,
            header_deadline: config.request_deadline,
            drain_deadline: config.drain_deadline,
        };
        let (drained, after_requests) = Shutdown::new();
        let keeper = tokio::spawn(self.keeper.run(after_requests.clone()));
        let directory = Arc::clone(&self.node.directory);
        let fresh = tokio::spawn(directory::keep_fresh(directory, self.pool, self.changes, after_requests));
        let node = self.node;
        serve(self.listener, limits, shutdown, move |peer| {
            let node = Arc::clone(&node);
            service_fn(move |request| {
                let node = Arc::clone(&node);
                async move { Ok::<_, Infallible>(node.answer(request, peer.ip()).await) }
            })
        })
        .await;
        drained.order();
        for task in [keeper, fresh] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of ingest did not end well");
            }
        }
    }
}

impl Node {
    /// The reply to a request, whatever happens.
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let started = Instant::now();
        let request_id = Uuid::now_v7();
        let (name, result) = match route(request.method(), request.uri().path()) {
            Ok(Route::ErrorPage(code)) => ("error_page", Ok(reply::page(request_id, code))),
            Ok(route) => (route.name(), self.receive(route, request, request_id, peer).await),
            Err(problem) => ("none", Err(Refusal::from(problem))),
        };
        let code = result.as_ref().err().map_or("ok", |refusal| refusal.problem.code.as_str());
        ::metrics::counter!(metrics::REPLIES, "route" => name, "code" => code).increment(1);
        ::metrics::histogram!(metrics::REPLY_SECONDS, "route" => name)
            .record(started.elapsed().as_secs_f64());
        result.unwrap_or_else(|refusal| {
            log_refusal(request_id, name, &refusal.problem);
            reply::refusal(request_id, &refusal)
        })
    }
}

/// What the client did wrong is for those who look closely; what weir could not do is for the operator.
fn log_refusal(request_id: Uuid, route: &str, problem: &Problem) {
    if problem.code.status() >= 500 {
        tracing::warn!(%request_id, route, code = %problem.code, detail = %problem.detail, "refused");
    } else {
        tracing::debug!(%request_id, route, code = %problem.code, detail = %problem.detail, "refused");
    }
}
