//! The life of the admin API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use accounts::{AuthParts, Authenticator, Busy, HashCost, Hasher, Random, SealKey, SealKeyError};
use axum::{Extension, Router};
use hyper_util::service::TowerToHyperService;
use service::clock::Clock;
use service::config::Secret;
use service::http::{HttpLimits, serve};
use service::shutdown::Shutdown;
use service::tls::{Tls, TlsError};
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::api::Api;
use crate::config::AdminConfig;
use crate::request::Peer;
use crate::routes::router;

const LIMITS: HttpLimits = HttpLimits {
    name: "admin",
    connections_max: 1_000,
    header_deadline: Duration::from_secs(10),
    idle_deadline: Duration::from_secs(75),
    write_deadline: Duration::from_secs(30),
    drain_grace: Duration::from_secs(1),
    drain_deadline: Duration::from_secs(5),
};

/// An admin API that is ready to run.
pub struct Admin {
    listener: TcpListener,
    tls: Option<Tls>,
    router: Router,
}

/// Why the admin API can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error("can't listen on {0} (WEIR_ADMIN_ADDR)")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// Certificate or key are no good.
    #[error("the admin API can't speak TLS")]
    Tls(#[from] TlsError),
    /// What people's secrets are sealed with is no key.
    #[error("WEIR_ACCOUNTS_KEY is not valid")]
    Key(#[from] SealKeyError),
    /// No password can be hashed.
    #[error("passwords can't be hashed")]
    Hasher(#[from] Busy),
}

impl Admin {
    /// Binds the address.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(config: AdminConfig, pool: PgPool, clock: Clock) -> Result<Self, StartError> {
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await.map_err(|error| StartError::Listen(listen, error))?;
        let tls = match config.tls {
            Some(files) => Some(Tls::load(files).await?),
            None => None,
        };
        let auth = match &config.accounts_key {
            Some(key) => Some(Arc::new(authenticator(key, config.public_url, &pool, &clock)?)),
            None => None,
        };
        let router = router(Api {
            pool,
            clock,
            random: Random::system(),
            token: Arc::new(config.operator_token),
            auth,
        });
        Ok(Self { listener, tls, router })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// If the system does not know.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ordered and requests in flight have ended.
    pub async fn run(self, shutdown: Shutdown) {
        let router = self.router;
        serve(self.listener, self.tls, LIMITS, shutdown, move |peer| {
            TowerToHyperService::new(router.clone().layer(Extension(Peer(peer.ip()))))
        })
        .await;
    }
}

/// As many passwords are hashed at once as there are cores.
fn authenticator(
    key: &Secret,
    issuer: String,
    pool: &PgPool,
    clock: &Clock,
) -> Result<Authenticator, StartError> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Authenticator::new(AuthParts {
        pool: pool.clone(),
        clock: clock.clone(),
        random: Random::system(),
        hasher: Hasher::new(HashCost::DEFAULT, cores)?,
        seal: SealKey::read(key)?,
        issuer,
    }))
}
