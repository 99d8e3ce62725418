//! Settings of what lets people in.

use std::path::PathBuf;

use service::clock::Clock;
use service::config::{Secret, Settings};
use sqlx::PgPool;

use crate::authenticator::{AuthParts, Authenticator};
use crate::countries::{Countries, CountriesError};
use crate::password::{Busy, HashCost, Hasher};
use crate::random::Random;
use crate::seal::{SealKey, SealKeyError};

/// Whether people can sign in, and how.
#[derive(Debug, Clone)]
pub struct AccountsConfig {
    /// What seals secrets in the database, as [`SealKey`] reads it; `None`: nobody can sign in.
    pub key: Option<Secret>,
    /// Where people reach this weir: stands in access tokens.
    pub public_url: String,
    /// Says in which country somebody signs in; `None`: nothing does.
    pub countries: Option<PathBuf>,
}

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum AccountsStartError {
    /// What people's secrets are sealed with is no key.
    #[error("WEIR_ACCOUNTS_KEY is not valid")]
    Key(#[from] SealKeyError),
    /// No password can be hashed.
    #[error("passwords can't be hashed")]
    Hasher(#[from] Busy),
    /// The database of countries is no good.
    #[error("WEIR_ADMIN_GEO_DATABASE can't be used")]
    Countries(#[from] CountriesError),
}

impl AccountsConfig {
    /// Reads the settings.
    pub fn read(settings: &mut Settings) -> Self {
        let key = settings.optional_secret(
            "WEIR_ACCOUNTS_KEY",
            "64 hexadecimal digits that seal secrets of people in the database; if it is not set, nobody can sign in",
        );
        if let Some(Err(error)) = key.as_ref().map(SealKey::read) {
            settings.refuse(format!("WEIR_ACCOUNTS_KEY is not valid: {error}"));
        }
        let public_url = settings.get(
            "WEIR_PUBLIC_URL",
            "http://127.0.0.1:7401".to_owned(),
            "where people reach the admin API, as their browsers show it; stands in access tokens",
        );
        let countries = settings.optional(
            "WEIR_ADMIN_GEO_DATABASE",
            "file in MaxMind's format (.mmdb) that says in which country somebody signs in; read at the start",
        );
        Self { key, public_url, countries: countries.map(PathBuf::from) }
    }
}

impl Authenticator {
    /// One for the tenants' listener, if people can sign in. As many passwords are hashed at once as there are cores.
    ///
    /// # Errors
    /// [`AccountsStartError`].
    pub fn of_config(
        config: &AccountsConfig,
        pool: &PgPool,
        clock: &Clock,
    ) -> Result<Option<Self>, AccountsStartError> {
        let Some(key) = &config.key else { return Ok(None) };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let countries = config.countries.as_deref().map(Countries::open).transpose()?;
        let auth = Self::new(AuthParts {
            pool: pool.clone(),
            clock: clock.clone(),
            random: Random::system(),
            // Half of them: ingest and reads may run on the same.
            hasher: Hasher::new(HashCost::DEFAULT, cores.div_ceil(2))?,
            seal: SealKey::read(key)?,
            issuer: config.public_url.clone(),
        });
        Ok(Some(auth.with_countries(countries)))
    }
}
