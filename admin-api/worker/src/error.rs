//! Why the worker can't start.

use accounts::SealKeyError;
use notify::smtp::RelayError;

/// Why the worker can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What mails are sealed with is no key.
    #[error("WEIR_ACCOUNTS_KEY is not valid")]
    Key(#[from] SealKeyError),
    /// Mails can't be handed over.
    #[error("mails can't be sent")]
    Relay(#[from] RelayError),
}
