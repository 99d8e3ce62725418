//! Accounts: tenants, their plan, projects, keys and erasures; people, what they may do, and how they show who they
//! are. It knows
//! neither HTTP nor the command line.
//!
//! # Path of a change
//! The admin API and the command line read the same types ([`NewTenant`](tenant::NewTenant), ...), one from a JSON
//! body,
//! the other from arguments. Either finds out who asks, opens a [`Scope`], calls the same functions, and commits. These
//! check the change, write it, and note it for the audit. For people and machines, [`Authenticator`] finds out who
//! asks.
//!
//! # What holds
//! * A key's text is in the [`MadeKey`](key::MadeKey) of its creation and nowhere else; so is that of every other
//!   secret.
//! * Every ingest node knows a change within a second: triggers number and announce the rows.
//! * A caller never sees a row of another tenant: each statement names the scope's tenant, and Postgres's row-level
//!   security refuses what one of them forgot.
//! * A change and its entry in the audit are in one transaction.
//! * Nobody gives, or takes away, what they do not have themselves.

mod error;
mod check;
mod limit;
mod page;
mod random;
mod secret;
mod seal;
mod totp;
mod password;
mod access;
mod realm;
mod caller;
mod expected;
mod client;
mod countries;
mod grants;
mod db;
pub mod people;
mod idempotency;
mod auth_error;
pub mod failed_login;
pub mod queue;
mod authenticator;
mod config;

pub use access::{ACCESS_TOKEN_SECONDS, Acting, Claims, IMPERSONATION_SECONDS, Jwk, Jwks};
pub use auth_error::AuthError;
pub use authenticator::{
    AddedPasskey, Admitted, AdmittedPlatform, AuthParts, Authenticator, Enrolled, Impersonation,
    ListedSession, Login, MadePassword, Mail, MailKind, Me, OpenIdLogin, OpenIdentity, PasskeyLogin, Post,
    Proof, ProposedPasskey, ProposedTotp, RecoveryCodes, Refreshed, Registration, SecondFactors, SignedIn,
    SignedInPerson, TenantAtWork,
};
pub use caller::{Actor, Caller};
pub use check::{NAME_BYTES_MAX, RATE_MAX, REASON_BYTES_MAX};
pub use client::Client;
pub use config::{AccountsConfig, AccountsStartError};
pub use countries::{Countries, CountriesError};
pub use db::idempotent_request::{KeptReply, Waiting};
pub use db::scope::{EveryTenant, OneTenant, PlatformScope, Reach, Scope};
pub use db::{
    audit, dead_letter, erasure, invitation, key, machine_token, member_role, membership, muted_mail,
    openid_identity, outbox, passkey, person, plan, project, session, suppression, sweep, tenant,
    verification,
};
pub use error::AccountError;
pub use expected::{EntityTag, Expected};
pub use grants::{Grants, LIMITED};
pub use idempotency::{NotClaimed, Once};
pub use limit::{Limit, present};
pub use page::{LIMIT, LIMIT_MAX, Listed, Page, PageRequest, every};
pub use password::{Busy, HashCost, Hasher, Weak};
pub use random::Random;
pub use seal::{SealKey, SealKeyError};
pub use secret::SecretText;
