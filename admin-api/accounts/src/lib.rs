//! Accounts: tenants, their plan, projects, keys and erasures. It knows neither HTTP nor the command line.
//!
//! # Path of a change
//! The admin API and the command line read the same types ([`NewTenant`](tenant::NewTenant), ...), one from a JSON body,
//! the other from arguments, and call the same functions. These check the change and write it in one transaction.
//!
//! # What holds
//! * A key's text is in the [`MadeKey`](key::MadeKey) of its creation and nowhere else.
//! * Every ingest node knows a change within a second: triggers number and announce the rows.
//! * A caller never sees a row of another tenant: each function takes the tenant, and names it in its SQL.

mod error;
mod check;
mod limit;
mod db;

pub use db::{erasure, key, plan, project, tenant};
pub use error::AccountError;
pub use limit::Limit;
