//! The service: one request after the other along the path, and the life of the node.

mod signed;
mod receive;
mod upload;
mod body;
mod reading;
mod log_limit;
mod copy;
mod counted;
mod traced;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlog::EventLog;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, Version};
use schemas::problem::{Code, Problem};
use service::clock::Clock;
use service::error::Chain;
use service::http::serve;
use service::shutdown::Shutdown;
use service::task::{TaskError, Tasks};
use service::tls::{Tls, TlsError};
use service::trace::{Span, traceparent};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use uuid::Uuid;

use counted::Accepted;
use log_limit::LogLimit;
use receive::Arrival;
use traced::describe;
use upload::Upload;

use crate::admission::{Admission, AdmissionLimits, Turns};
use crate::allowance;
use crate::config::IngestConfig;
use crate::directory::{self, Directory, DirectoryFile};
use crate::lease::{self, Keeper, Leases};
use crate::outcomes::{self, Outcomes};
use crate::rate::{Addresses, Exchange, Rates, RedisError};
use crate::reply::{self, Refusal, Reply};
use crate::routes::{Route, method_not_allowed, route};
use crate::spool::SpoolKeeper;
use crate::timekeeper::Timekeeper;
use crate::{cors, host, metrics, settings};

/// An ingest node that is ready to run.
pub struct Ingest {
    listener: TcpListener,
    tls: Option<Tls>,
    node: Arc<Node>,
    keeper: Keeper,
    exchange: Option<Exchange>,
    pool: PgPool,
    bound: watch::Receiver<bool>,
    saved: Option<DirectoryFile>,
    /// Of the directory, when it was read.
    age: Duration,
}

/// What requests share.
struct Node {
    config: IngestConfig,
    clock: Clock,
    timekeeper: Arc<Timekeeper>,
    directory: Arc<Directory>,
    leases: Arc<Leases>,
    rates: Arc<Rates>,
    addresses: Addresses,
    admission: Admission,
    turns: Turns,
    log_limit: LogLimit,
    log: Arc<dyn EventLog>,
    outcomes: Arc<Outcomes>,
    accepted: Accepted,
}

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error("can't listen on {0} (WEIR_INGEST_ADDR)")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// Certificate or key are no good.
    #[error("ingest can't speak TLS")]
    Tls(#[from] TlsError),
    /// Rates can't be shared.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Ingest {
    /// Binds the address, loads keys and tenants, registers the node: from Postgres, once the database is `bound` to
    /// the log. Before that, keys and tenants come from the disk; without a copy there, nobody is served until the
    /// database is bound.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(
        config: IngestConfig,
        pool: PgPool,
        log: Arc<dyn EventLog>,
        clock: Clock,
        bound: watch::Receiver<bool>,
    ) -> Result<Self, StartError> {
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
        let tls = match config.connections.tls.clone() {
            Some(files) => Some(Tls::load(files).await?),
            None => None,
        };
        let directory = Arc::new(Directory::default());
        let file = |path| DirectoryFile { path, log: Arc::clone(&log), clock: clock.clone() };
        let saved = config.directory_file.clone().map(file);
        let is_bound = *bound.borrow();
        let age = fill(&directory, &pool, is_bound, saved.as_ref()).await;
        let timekeeper = Arc::new(Timekeeper::new(clock.clone(), config.clock_skew_max));
        let spool = log.spool().map(|spool| spool.id());
        let (leases, mut keeper) =
            lease::keep(pool.clone(), Arc::clone(&timekeeper), config.lease_time, spool);
        if is_bound && let Err(error) = keeper.register().await {
            tracing::warn!(error = %Chain(&error), "the node is not registered yet");
        }
        let admission = Admission::new(AdmissionLimits {
            node: config.in_flight_bytes_max,
            tenant: config.tenant_in_flight_bytes_max,
            body: config.body_bytes_max,
        });
        let rates = Arc::new(Rates::new(config.redis_url.is_some()));
        let exchange = config
            .redis_url
            .as_ref()
            .map(|url| Exchange::new(url, log.identity(), Arc::clone(&rates), Arc::clone(&directory)));
        let mut exchange = exchange.transpose()?;
        if let Some(exchange) = &mut exchange {
            exchange.join().await;
        }
        let addresses = Addresses::new(config.address_rate);
        let outcomes = Arc::new(Outcomes::default());
        let (turns, log_limit) = (Turns::default(), LogLimit::default());
        let node = Arc::new(Node {
            config,
            clock,
            timekeeper,
            directory,
            leases,
            rates,
            addresses,
            admission,
            turns,
            log_limit,
            log,
            outcomes,
            accepted: Accepted::new(),
        });
        Ok(Self { listener, tls, node, keeper, exchange, pool, bound, saved, age })
    }

    /// Whether anybody can be served: keys and tenants are known.
    #[must_use]
    pub fn knows_keys(&self) -> bool {
        self.node.directory.is_known()
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// If the system does not know.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ordered: then no more connections, requests in flight end, quota goes back.
    ///
    /// # Errors
    /// [`TaskError`]: a task ended by itself; requests in flight have ended all the same.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), TaskError> {
        let Self { listener, tls, node, keeper, exchange, pool, bound, saved, age } = self;
        let limits = node.config.connections.limits(node.config.request_deadline);
        let (stop, stopping) = Shutdown::new();
        let directory = || Arc::clone(&node.directory);
        // They stop after the last request.
        let mut tasks = Tasks::default();
        let after = tasks.shutdown();
        tasks.spawn("the keeper of leases", keeper.run(bound.clone(), after.clone()));
        let noting = directory::note_last_used(directory(), pool.clone(), bound.clone(), after.clone());
        tasks.spawn("last use of keys", noting);
        let (counts, clock) = (Arc::clone(&node.outcomes), node.clock.clone());
        let writing = outcomes::keep_written(counts, pool.clone(), clock, bound.clone(), after.clone());
        tasks.spawn("writing of outcomes", writing);
        if let Some(file) = saved {
            let saving = directory::keep_saved(directory(), file, bound.clone(), after.clone());
            tasks.spawn("the copy of keys and tenants", saving);
        }
        if let Some(exchange) = exchange {
            tasks.spawn("the exchange of rates", exchange.run(after.clone()));
        }
        // Last: the spool's drain goes on for as long as the stop allows, and then this node has ended, too.
        let mut spool = Tasks::default();
        if let Some(keeper) = SpoolKeeper::of(&node, &pool, &bound) {
            spool.spawn("the spool", keeper.run(stopping.clone(), spool.shutdown()));
        }
        tasks.spawn("keys and tenants", directory::keep_fresh(directory(), pool, bound, age, after));
        let served = serve(listener, tls, limits, stopping, move |peer| {
            let node = Arc::clone(&node);
            service_fn(move |request| {
                let node = Arc::clone(&node);
                async move { Ok::<_, Infallible>(node.answer(request, peer.ip()).await) }
            })
        });
        let until_stopped = async {
            let ended = tokio::select! {
                failure = tasks.failure() => Err(failure),
                failure = spool.failure() => Err(failure),
                () = shutdown.ordered() => Ok(()),
            };
            stop.order();
            ended
        };
        let (ended, ()) = tokio::join!(until_stopped, served);
        let settled = tasks.stop().await;
        ended.and(settled).and(spool.stop().await)
    }
}

impl SpoolKeeper {
    fn of(node: &Node, pool: &PgPool, bound: &watch::Receiver<bool>) -> Option<Self> {
        Some(Self {
            spool: Arc::clone(node.log.spool()?),
            pool: pool.clone(),
            leases: Arc::clone(&node.leases),
            clock: node.clock.clone(),
            bound: bound.clone(),
            drain_deadline: node.config.connections.drain_deadline,
        })
    }
}

/// Fills the directory from Postgres, or else from the disk; how old it is.
async fn fill(
    directory: &Directory,
    pool: &PgPool,
    is_bound: bool,
    saved: Option<&DirectoryFile>,
) -> Duration {
    if is_bound {
        match directory::load(directory, pool).await {
            Ok(()) => return Duration::ZERO,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "keys and tenants can't be read from Postgres")
            }
        }
    }
    let Some(file) = saved else { return Duration::ZERO };
    match directory.load_saved(file).await {
        Ok(age) => {
            let (keys, age_seconds) = (directory.keys(), age.as_secs());
            tracing::warn!(
                keys,
                age_seconds,
                "started without Postgres, with keys and tenants as saved on the disk: what changed since is \
                 not known, and tenants with a cap are not served"
            );
            age
        }
        Err(error) => {
            tracing::warn!(
                error = %Chain(&error), path = %file.path.display(),
                "started without Postgres, and there are no keys and tenants on the disk that can be used: \
                 nobody is served"
            );
            Duration::ZERO
        }
    }
}

impl Node {
    /// The reply to a request, whatever happens.
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Reply {
        let started = Instant::now();
        let request_id = Uuid::now_v7();
        let mut known = None;
        let (parts, body) = request.into_parts();
        let mut span = Span::request(|| traceparent(&parts.headers));
        let mut upload = Upload::new(body);
        let peer = self.config.trusted_proxies.client(peer, &parts.headers);
        let found = host::check(&parts).and_then(|()| route(parts.uri.path()));
        let (name, result) = match found.clone() {
            Ok(route) if parts.method == Method::OPTIONS => {
                ("preflight", Ok(cors::preflight(request_id, route)))
            }
            Ok(route) if !route.takes(&parts.method) => ("none", Err(method_not_allowed(route).into())),
            Ok(Route::Settings(family)) => {
                ("settings", settings::settings(request_id, family, &parts).map_err(Refusal::from))
            }
            Ok(Route::ErrorPage(code)) => ("error_page", Ok(reply::page(request_id, code))),
            Ok(Route::Events(dialect)) => {
                let arrival = Arrival { dialect, parts: &parts, request_id, peer, span: &span };
                (dialect.name(), self.receive(arrival, &mut upload, &mut known).await)
            }
            Err(problem) => ("none", Err(Refusal::from(problem))),
        };
        let result = result.map_err(|refusal| self.charge_address(refusal, known.is_some(), peer));
        match (&found, &result) {
            (Ok(Route::Events(dialect)), Ok(_)) => {
                let accepted = self.accepted.of(*dialect);
                accepted.replies.increment(1);
                accepted.seconds.record(started.elapsed());
            }
            (_, result) => {
                let code = result.as_ref().err().map_or("ok", |refusal| refusal.problem.code.as_str());
                metrics::reply(name, code).increment(1);
                metrics::reply_seconds(name).record(started.elapsed());
            }
        }
        let route = found.as_ref().ok().copied();
        describe(&mut span, request_id, &parts, route, known.as_deref(), result.as_ref().err());
        let mut reply = result.unwrap_or_else(|refusal| {
            self.log_refusal(request_id, name, &refusal.problem);
            reply::refusal(request_id, &refusal)
        });
        if let (StatusCode::METHOD_NOT_ALLOWED, Ok(route)) = (reply.status(), found) {
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static(route.methods()));
        }
        if let Some(tenant) = known {
            allowance::add_headers(reply.headers_mut(), &tenant, self.timekeeper.now());
        }
        cors::share(reply.headers_mut());
        if parts.version != Version::HTTP_2 && !upload.is_over(&parts.headers).await {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }

    /// A refusal without a known sender is charged to the address. The exception is a path or method that does not
    /// exist: an SDK asks for feature flags again and again, and its events come from the same address.
    fn charge_address(&self, refusal: Refusal, is_known: bool, peer: IpAddr) -> Refusal {
        let code = refusal.problem.code;
        let is_harmless = matches!(code, Code::NotFound | Code::MethodNotAllowed);
        let is_charged = (400..500).contains(&code.status()) || code == Code::Unavailable;
        if is_known || is_harmless || !is_charged {
            return refusal;
        }
        match self.addresses.charge(peer) {
            Ok(()) => refusal,
            Err(wait) => Refusal::too_often(wait),
        }
    }

    /// What the client did wrong is for those who look closely; what weir could not do is for the operator.
    fn log_refusal(&self, request_id: Uuid, route: &str, problem: &Problem) {
        let Problem { code, detail, .. } = problem;
        let comes_in_masses = matches!(code, Code::Overloaded | Code::Unavailable);
        let left_out = if comes_in_masses { self.log_limit.turn(Instant::now()) } else { Some(0) };
        match left_out {
            Some(left_out) if code.status() >= 500 => {
                tracing::warn!(%request_id, route, %code, %detail, left_out, "refused");
            }
            Some(_) | None => tracing::debug!(%request_id, route, %code, %detail, "refused"),
        }
    }
}
