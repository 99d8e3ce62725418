//! What handlers share.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use accounts::{Actor, Authenticator, Caller, PlatformScope, Random, SealKey};
use axum::body::Bytes;
use chrono::{DateTime, Utc};
use clickhouse::Client;
use eventlog::EventLog;
use openid::Provider;
use serde::Serialize;
use service::client_address::TrustedProxies;
use service::clock::Clock;
use service::config::Secret;
use sqlx::PgPool;

use crate::exports::Exports;
use crate::rate::Rates;
use crate::request;

/// The databases, the time, what an operator presents, and who finds out about people.
#[derive(Clone)]
pub struct Api {
    /// Of this listener alone: nobody at the other one takes its connections.
    pub(crate) pool: PgPool,
    pub(crate) clickhouse: Client,
    /// Looked at, and nothing else.
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// The operator's; `None` on the tenants' listener, which does not know it.
    pub(crate) token: Option<Arc<Secret>>,
    /// Proxies whose word on where a client is counts.
    pub(crate) proxies: Arc<TrustedProxies>,
    /// How many requests a sender may send.
    pub(crate) rates: Arc<Rates>,
    /// Which exports are under way.
    pub(crate) exports: Arc<Exports>,
    /// What replies are sealed with that are kept to be repeated.
    pub(crate) seal: Arc<SealKey>,
    /// `None`: nobody can sign in.
    pub(crate) auth: Option<Arc<Authenticator>>,
    /// Through whom people may sign in.
    pub(crate) openid: Arc<Vec<Provider>>,
    /// Where people reach this weir.
    pub(crate) public_url: Arc<str>,
    /// Of the pages there, as browsers write an origin.
    pub(crate) origins: Arc<[String]>,
    /// Where this process listens.
    pub(crate) listening: Listening,
    /// What the listener says of itself.
    pub(crate) contract: Arc<LazyLock<Contract>>,
}

/// A listener's OpenAPI document.
pub(crate) struct Contract {
    pub(crate) json: Bytes,
    /// The same for people.
    pub(crate) page: Bytes,
    /// What the page may load and run (`Content-Security-Policy`).
    pub(crate) policy: String,
}

/// The addresses of the two listeners.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub(crate) struct Listening {
    #[schema(value_type = String)]
    pub(crate) tenants: SocketAddr,
    #[schema(value_type = String)]
    pub(crate) operators: SocketAddr,
}

impl Api {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.clock.now_micros()).unwrap_or_default()
    }

    /// Whether this is what the operators' listener serves.
    pub(crate) fn is_of_operators(&self) -> bool {
        self.token.is_some()
    }

    /// A scope of all tenants, for the holder of the operator's token who sent the request.
    pub(crate) async fn platform(&self) -> Result<PlatformScope, sqlx::Error> {
        let (address, request_id) = (request::address(), Some(request::id()));
        let caller = Caller { actor: Actor::Operator, address, request_id };
        PlatformScope::open_platform(&self.pool, &self.clock, caller).await
    }
}
