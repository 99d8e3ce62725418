//! The worker: which jobs there are, what each does, and what comes again and again. Processes with the role `admin`
//! run it.
//!
//! What a job does, it does by the functions of other crates; here stands how often it is tried, how many run at once,
//! and what its failures mean.

pub mod config;
pub mod error;
mod mails;
mod failed_logins;
mod chores;
pub mod working;

pub use config::WorkerConfig;
pub use error::StartError;
pub use working::Working;
