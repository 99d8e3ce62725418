//! The life of the admin API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use service::clock::Clock;
use service::http::{HttpLimits, serve};
use service::shutdown::Shutdown;
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::config::AdminConfig;
use crate::routes::{Api, router};

const LIMITS: HttpLimits = HttpLimits {
    connections_max: 1_000,
    header_deadline: Duration::from_secs(10),
    drain_deadline: Duration::from_secs(5),
};

/// An admin API that is ready to run.
pub struct Admin {
    listener: TcpListener,
    router: Router,
}

impl Admin {
    /// Binds the address.
    ///
    /// # Errors
    /// If it can't be listened on.
    pub async fn build(config: AdminConfig, pool: PgPool, clock: Clock) -> Result<Self, std::io::Error> {
        let listener = TcpListener::bind(config.listen).await?;
        let router = router(Api { pool, clock, token: Arc::new(config.operator_token) });
        Ok(Self { listener, router })
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
        serve(self.listener, LIMITS, shutdown, move |_| TowerToHyperService::new(router.clone())).await;
    }
}
