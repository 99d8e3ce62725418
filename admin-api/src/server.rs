//! The life of the admin API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use accounts::{AccountsStartError, Authenticator, Random, SealKey, SealKeyError};
use axum::{Extension, Router};
use clickhouse::Client;
use eventlog::EventLog;
use hyper_util::service::TowerToHyperService;
use openid::Provider;
use service::clock::Clock;
use service::config::Secret;
use service::http::{HttpLimits, serve};
use service::shutdown::Shutdown;
use service::tls::{Tls, TlsError};
use sqlx::PgPool;
use tokio::net::TcpListener;

use crate::api::{Api, Listening};
use crate::config::AdminConfig;
use crate::document;
use crate::listener::Listener;
use crate::rate::Rates;
use crate::request::Peer;
use crate::routes::{Undescribed, router};

const TENANTS: HttpLimits = HttpLimits {
    name: "admin",
    connections_max: 1_000,
    header_deadline: Duration::from_secs(10),
    idle_deadline: Duration::from_secs(75),
    write_deadline: Duration::from_secs(30),
    drain_grace: Duration::from_secs(1),
    drain_deadline: Duration::from_secs(5),
};

const OPERATORS: HttpLimits = HttpLimits { name: "operator", ..TENANTS };

/// An admin API that is ready to run.
pub struct Admin {
    tenants: Bound,
    operators: Bound,
}

/// Connections to Postgres, apart for each listener: whatever tenants do, operators get in.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For requests of people and machines of tenants.
    pub tenants: PgPool,
    /// For requests of operators.
    pub operators: PgPool,
}

/// An address, and what is served there.
struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    router: Router,
}

/// Why the admin API can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can't be listened on.
    #[error("can't listen on {0} ({1})")]
    Listen(SocketAddr, &'static str, #[source] std::io::Error),
    /// Certificate or key are no good.
    #[error("the admin API can't speak TLS")]
    Tls(#[from] TlsError),
    /// The document does not speak of a route.
    #[error("the table of routes and the OpenAPI document differ")]
    Undescribed(#[from] Undescribed),
    /// Nobody can sign in, although somebody should.
    #[error("people can't be let in")]
    Accounts(#[from] AccountsStartError),
}

impl Admin {
    /// Binds the addresses, and connects to nothing.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn build(
        config: AdminConfig,
        pools: Pools,
        clickhouse: Client,
        log: Arc<dyn EventLog>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        // Each listener hashes passwords for itself: a crowd at one of them keeps nobody waiting at the other.
        let authenticator = |pool| Authenticator::of_config(&config.accounts, pool, &clock);
        let auth = authenticator(&pools.tenants)?;
        let of_platform = authenticator(&pools.operators)?.map(Authenticator::of_platform);
        let (auth, of_platform) = (auth.map(Arc::new), of_platform.map(Arc::new));
        let tenants = bound(config.listen, "WEIR_ADMIN_ADDR").await?;
        let operators = bound(config.operator_listen, "WEIR_OPERATOR_ADDR").await?;
        let url = config.accounts.public_url.as_str();
        let of_tenants = Api {
            pool: pools.tenants,
            clickhouse,
            log,
            clock,
            random: Random::system(),
            token: None,
            proxies: Arc::new(config.trusted_proxies.clone()),
            rates: Arc::new(Rates::new(config.rates)),
            exports: Arc::default(),
            seal: Arc::new(
                seal(config.accounts.key.as_ref(), &config.operator_token)
                    .map_err(AccountsStartError::from)?,
            ),
            auth,
            openid: Arc::new(config.openid.iter().map(|of| Provider::new(of.clone(), url)).collect()),
            public_url: url.into(),
            contract: document::lazy(Listener::Tenants),
            origins: origins_of(url).into(),
            listening: Listening { tenants: tenants.1, operators: operators.1 },
        };
        let token = Some(Arc::new(config.operator_token.clone()));
        let contract = document::lazy(Listener::Operators);
        let (pool, exports) = (pools.operators, Arc::default());
        let of_operators = Api { pool, exports, token, auth: of_platform, contract, ..of_tenants.clone() };
        Ok(Self {
            tenants: Bound::new(tenants, &config, router(Listener::Tenants, of_tenants)?).await?,
            operators: Bound::new(operators, &config, router(Listener::Operators, of_operators)?).await?,
        })
    }

    /// The address that was bound for that listener.
    #[must_use]
    pub fn local_addr(&self, listener: Listener) -> SocketAddr {
        match listener {
            Listener::Tenants => self.tenants.address,
            Listener::Operators => self.operators.address,
        }
    }

    /// Serves until `shutdown` is ordered and requests in flight have ended.
    pub async fn run(self, shutdown: Shutdown) {
        tokio::join!(self.tenants.run(TENANTS, shutdown.clone()), self.operators.run(OPERATORS, shutdown));
    }
}

/// A listener, and the address that it got.
async fn bound(listen: SocketAddr, setting: &'static str) -> Result<(TcpListener, SocketAddr), StartError> {
    let fail = |error| StartError::Listen(listen, setting, error);
    let listener = TcpListener::bind(listen).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}

impl Bound {
    async fn new(
        (listener, address): (TcpListener, SocketAddr),
        config: &AdminConfig,
        router: Router,
    ) -> Result<Self, StartError> {
        let tls = match &config.tls {
            Some(files) => Some(Tls::load(files.clone()).await?),
            None => None,
        };
        Ok(Self { listener, address, tls, router })
    }

    async fn run(self, limits: HttpLimits, shutdown: Shutdown) {
        let router = self.router;
        serve(self.listener, self.tls, limits, shutdown, move |peer| {
            TowerToHyperService::new(router.clone().layer(Extension(Peer(peer.ip()))))
        })
        .await;
    }
}

/// Names of this machine. Its people open one as well as another.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The origins of pages at a URL: one, or where that is a name of this machine, those of all its names at that port.
fn origins_of(url: &str) -> Vec<String> {
    let origin = origin_of(url);
    let (scheme, rest) = origin.split_once("://").unwrap_or_default();
    let port_of =
        |name: &str| rest.strip_prefix(name).filter(|port| port.is_empty() || port.starts_with(':'));
    match LOOPBACK.iter().find_map(|name| port_of(name)) {
        Some(port) => LOOPBACK.iter().map(|name| format!("{scheme}://{name}{port}")).collect(),
        None => vec![origin],
    }
}

/// The origin of a URL, as browsers write it (RFC 6454, 6.2): lower case, and no port that the scheme has anyway.
fn origin_of(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
    let usual = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    format!("{scheme}://{}", host.strip_suffix(usual).unwrap_or(&host))
}

/// What seals kept replies: as people's secrets, or where nobody can sign in, under the operator's token.
fn seal(key: Option<&Secret>, token: &Secret) -> Result<SealKey, SealKeyError> {
    match key {
        Some(key) => SealKey::read(key),
        None => SealKey::derived(token, "weir: kept replies").ok_or(SealKeyError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (url, origin) in [
            ("https://weir.example", "https://weir.example"),
            ("https://Weir.Example:443/console/", "https://weir.example"),
            ("HTTP://weir.example:80?x", "http://weir.example"),
            ("https://weir.example:80", "https://weir.example:80"),
            ("http://127.0.0.1:7401/", "http://127.0.0.1:7401"),
            ("http://[::1]:7401", "http://[::1]:7401"),
        ] {
            assert_eq!(origin_of(url), origin);
        }
    }

    #[test]
    fn names_of_this_machine_are_the_same_at_one_port_and_no_others_are() {
        let local =
            |scheme: &str, port: &str| LOOPBACK.map(|name| format!("{scheme}://{name}{port}")).to_vec();
        for url in ["http://127.0.0.1:7401", "http://localhost:7401/", "http://[::1]:7401"] {
            assert_eq!(origins_of(url), local("http", ":7401"), "{url}");
        }
        assert_eq!(origins_of("https://Localhost:443"), local("https", ""));
        for url in ["https://weir.example", "http://localhost.example", "http://127.0.0.10:7401"] {
            assert_eq!(origins_of(url), [origin_of(url)], "{url}");
        }
    }
}
