//! Settings of the admin API.

use std::net::SocketAddr;

use accounts::AccountsConfig;
use openid::ProviderConfig;
use service::client_address::TrustedProxies;
use service::config::{Secret, Settings};
use service::tls::TlsFiles;

use crate::rate::RateConfig;

/// Bytes of the operator's token at least: 128 bits as hexadecimal digits.
const TOKEN_BYTES_MIN: usize = 32;

/// How the admin API works. [`AdminConfig::read`] has the defaults.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Where to listen for people and machines of tenants.
    pub listen: SocketAddr,
    /// Where to listen for operators: not for the public.
    pub operator_listen: SocketAddr,
    /// What an operator presents as `Authorization: Bearer`.
    pub operator_token: Secret,
    /// Whether people can sign in, and how.
    pub accounts: AccountsConfig,
    /// Through whom people may sign in, besides their password.
    pub openid: Vec<ProviderConfig>,
    /// Proxies whose word on where a client is counts.
    pub trusted_proxies: TrustedProxies,
    /// How many requests a sender may send.
    pub rates: RateConfig,
    /// Of both listeners; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
}

impl AdminConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let listen = settings.get(
            "WEIR_ADMIN_ADDR",
            SocketAddr::from(([127, 0, 0, 1], 7401)),
            "address and port of the admin API for people and machines of tenants",
        );
        let operator_listen = settings.get(
            "WEIR_OPERATOR_ADDR",
            SocketAddr::from(([127, 0, 0, 1], 7405)),
            "address and port of the admin API for operators: keep it on a private network",
        );
        let operator_token = settings.secret(
            "WEIR_OPERATOR_TOKEN",
            "the operator's token for WEIR_OPERATOR_ADDR, 32 letters at least",
        );
        let len = operator_token.expose().len();
        if (1..TOKEN_BYTES_MIN).contains(&len) {
            settings.refuse(format!(
                "WEIR_OPERATOR_TOKEN has {len} letters where {TOKEN_BYTES_MIN} are the least: \
                 make one with `openssl rand -hex 32`"
            ));
        }
        let accounts = AccountsConfig::read(settings);
        let openid = ProviderConfig::read_all(settings);
        let tls = TlsFiles::read(settings, "WEIR_ADMIN_TLS_CERT", "WEIR_ADMIN_TLS_KEY");
        let (trusted_proxies, rates) = (TrustedProxies::of(settings), RateConfig::read(settings));
        Self { listen, operator_listen, operator_token, accounts, openid, trusted_proxies, rates, tls }
    }
}
