//! Finds out who somebody is: registration, sign-in, second factors, sessions, tokens.
//!
//! This is the part that opens scopes; the rest of the crate is called within one. No connection is held while a
//! password
//! is hashed. Everything that is spent (a link, a code, a refresh token) is spent by one statement (docs/adr/0025).

mod keys;
mod open;
mod mail;
mod post;
mod again;
mod register;
mod login;
mod recovery;
mod factor;
mod passkey;
mod passkey_login;
mod openid;
mod unlink;
mod profile;
mod refresh;
mod sessions;
mod reset;
mod vouch;
mod admit;
mod enrol;
mod impersonate;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use passkeys::RelyingParty;
use serde::Serialize;
use service::clock::Clock;
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::access::KeyRing;
use crate::auth_error::AuthError;
use crate::caller::Actor;
use crate::client::Client;
use crate::countries::Countries;
use crate::db::membership::TenantOfPerson;
use crate::db::person::Person;
use crate::db::scope::PlatformScope;
use crate::password::Hasher;
use crate::random::Random;
use crate::realm::Realm;
use crate::seal::SealKey;
use crate::secret::SecretText;

pub use admit::{Admitted, SignedInPerson};
pub use again::Proof;
pub use enrol::Enrolled;
pub use factor::ProposedTotp;
pub use impersonate::{AdmittedPlatform, Impersonation};
pub use login::Login;
pub use mail::{Mail, MailKind};
pub use openid::{OpenIdLogin, OpenIdentity};
pub use passkey::{AddedPasskey, ProposedPasskey};
pub use passkey_login::PasskeyLogin;
pub use post::Post;
pub use profile::{Me, SecondFactors, TenantAtWork};
pub use recovery::RecoveryCodes;
pub use refresh::Refreshed;
pub use register::Registration;
pub use sessions::ListedSession;
pub use vouch::MadePassword;

/// Everything that signing in needs.
pub struct Authenticator {
    pool: PgPool,
    clock: Clock,
    random: Random,
    hasher: Hasher,
    seal: SealKey,
    issuer: String,
    realm: Realm,
    /// `None`: browsers have no passkeys for what stands in the URL.
    party: Option<RelyingParty>,
    /// `None`: sessions have no country.
    countries: Option<Countries>,
    ring: RwLock<Option<Loaded>>,
    /// Held by who reads the keys.
    reading: Mutex<()>,
}

/// Keys, and when they were read.
#[derive(Clone)]
struct Loaded {
    ring: Arc<KeyRing>,
    at: DateTime<Utc>,
}

/// What an [`Authenticator`] is made of.
pub struct AuthParts {
    /// Connections as the admin API's role.
    pub pool: PgPool,
    /// The time.
    pub clock: Clock,
    /// Where secrets come from.
    pub random: Random,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Seals what must be read again.
    pub seal: SealKey,
    /// The URL of this weir, which access tokens name.
    pub issuer: String,
}

/// Somebody who has just signed in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SignedIn {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Seconds that it is good for.
    pub expires_in: i64,
    /// Which tenant it is for, if the person is a member of any.
    pub tenant: Option<TenantOfPerson>,
    /// Who it is.
    pub person: Person,
    /// For the refresh cookie alone.
    #[serde(skip)]
    pub refresh: SecretText,
    /// For the device's cookie, if it has none.
    #[serde(skip)]
    pub device: Option<SecretText>,
}

impl Authenticator {
    /// Puts it together. Nothing is asked of Postgres before somebody signs in.
    #[must_use]
    pub fn new(parts: AuthParts) -> Self {
        let AuthParts { pool, clock, random, hasher, seal, issuer } = parts;
        let (realm, party) = (Realm::Tenants, RelyingParty::of_url(&issuer));
        let (countries, ring, reading) = (None, RwLock::default(), Mutex::default());
        Self { pool, clock, random, hasher, seal, issuer, realm, party, countries, ring, reading }
    }

    /// The same for people of the platform, on the operators' listener. Passkeys belong to the tenants' address.
    #[must_use]
    pub fn of_platform(self) -> Self {
        Self { realm: Realm::Platform, party: None, ..self }
    }

    /// The same, which says in which country somebody signs in.
    #[must_use]
    pub fn with_countries(self, countries: Option<Countries>) -> Self {
        Self { countries, ..self }
    }

    async fn platform(&self, client: &Client, actor: Actor) -> Result<PlatformScope, AuthError> {
        let caller = client.caller(actor);
        let mut scope = PlatformScope::open_platform(&self.pool, &self.clock, caller).await?;
        if let Some(expected) = &client.expected {
            scope.hold_if_match(expected.clone());
        }
        Ok(scope)
    }
}
