//! Settings of the worker.

use notify::MailConfig;
use service::config::{Secret, Settings};

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// How mails are sent.
    pub mail: MailConfig,
    /// What mails in the outbox are sealed with; `None`: there are none.
    pub accounts_key: Option<Secret>,
}

impl WorkerConfig {
    /// Reads the settings that are the worker's alone.
    pub fn read(settings: &mut Settings, accounts_key: Option<Secret>, public_url: String) -> Self {
        Self { mail: MailConfig::read(settings, public_url), accounts_key }
    }
}
