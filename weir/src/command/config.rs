//! `weir config`.

use std::process::ExitCode;

use service::config::{Setting, Settings};

use super::output::say;
use crate::config::Config;
use crate::roles::Roles;

/// `weir config`.
pub(crate) fn print(json: bool) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::from_environment();
    Config::read(&mut settings, Roles::ALL);
    let settings = settings.finish()?;
    if json {
        let by_name: serde_json::Map<_, _> =
            settings.iter().map(|setting| (setting.name.to_owned(), setting.value.clone().into())).collect();
        say(&serde_json::Value::from(by_name).to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    for Setting { name, value, source, meaning } in settings {
        say(&format!("{name}={value}\n    {meaning} ({source})"))?;
    }
    Ok(ExitCode::SUCCESS)
}
