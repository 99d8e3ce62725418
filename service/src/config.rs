//! Settings from the environment, all of them read, and all mistakes reported, before any is acted on.
//!
//! A role asks a [`Settings`] for each setting by name, with its default; what it asked for can be printed with
//! its source (`weir config`), secrets left out.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A text that is never printed: passwords, tokens, URLs that hold them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Every mistake in the settings, one a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// One setting as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its effective value, or `<secret>`.
    pub value: String,
    /// Whether the environment set it.
    pub from_environment: bool,
    /// What it means, with its unit.
    pub meaning: &'static str,
}

/// Reads settings and remembers what was asked for and what was wrong.
pub struct Settings {
    variables: HashMap<String, String>,
    asked: Vec<Setting>,
    mistakes: Vec<String>,
}

impl Settings {
    /// Settings from the process's environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::new(std::env::vars())
    }

    /// Settings from the given variables. An empty value counts as not set.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Self { variables, asked: Vec::new(), mistakes: Vec::new() }
    }

    /// A setting that can be read from text, or its default.
    pub fn get<T>(&mut self, name: &'static str, default: T, meaning: &'static str) -> T
    where
        T: FromStr + fmt::Display,
        T::Err: fmt::Display,
    {
        let given = self.variables.get(name).cloned();
        let value = match given.as_deref().map(str::parse) {
            Some(Ok(value)) => value,
            Some(Err(error)) => {
                let given = given.as_deref().unwrap_or_default();
                self.mistakes.push(format!("{name}={given:?} is not valid: {error}. It is: {meaning}"));
                default
            }
            None => default,
        };
        self.remember(name, value.to_string(), meaning);
        value
    }

    /// A number within `range`, or its default.
    pub fn number<T>(
        &mut self,
        name: &'static str,
        default: T,
        range: std::ops::RangeInclusive<T>,
        meaning: &'static str,
    ) -> T
    where
        T: FromStr + fmt::Display + PartialOrd,
        T::Err: fmt::Display,
    {
        let value = self.get(name, default, meaning);
        if !range.contains(&value) {
            let (low, high) = range.into_inner();
            self.mistakes.push(format!("{name}={value} is not within {low} to {high}. It is: {meaning}"));
        }
        value
    }

    /// A duration, given in whole milliseconds.
    pub fn millis(&mut self, name: &'static str, default: Duration, meaning: &'static str) -> Duration {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.number(name, default, 1..=86_400_000, meaning))
    }

    /// A setting that may be absent.
    pub fn optional(&mut self, name: &'static str, meaning: &'static str) -> Option<String> {
        let value = self.variables.get(name).cloned();
        self.remember(name, value.clone().unwrap_or_default(), meaning);
        value
    }

    /// A secret that may be absent.
    pub fn optional_secret(&mut self, name: &'static str, meaning: &'static str) -> Option<Secret> {
        let value = self.variables.get(name).cloned().map(Secret);
        let shown = if value.is_some() { "<secret>" } else { "" };
        self.remember(name, shown.to_owned(), meaning);
        value
    }

    /// A secret that must be there.
    pub fn secret(&mut self, name: &'static str, meaning: &'static str) -> Secret {
        self.optional_secret(name, meaning).unwrap_or_else(|| {
            self.mistakes.push(format!("{name} is not set. It is: {meaning}"));
            Secret(String::new())
        })
    }

    /// Notes a mistake that only the asker can see.
    pub fn refuse(&mut self, mistake: String) {
        self.mistakes.push(mistake);
    }

    /// What was asked for, in that order.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub fn finish(self) -> Result<Vec<Setting>, ConfigError> {
        if self.mistakes.is_empty() { Ok(self.asked) } else { Err(ConfigError(self.mistakes)) }
    }

    fn remember(&mut self, name: &'static str, value: String, meaning: &'static str) {
        let from_environment = self.variables.contains_key(name);
        self.asked.push(Setting { name, value, from_environment, meaning });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        Settings::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn every_mistake_is_reported_in_one_run() {
        let mut settings = settings(&[("A", "x"), ("B", "70000"), ("C", "11")]);
        settings.get("A", 1_u16, "a port");
        settings.get("B", 1_u16, "a port");
        settings.number("C", 1, 1..=10, "a small number");
        settings.secret("D", "a password");
        let mistakes = settings.finish().unwrap_err().0;
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
        assert!(mistakes[0].starts_with("A=\"x\" is not valid"));
        assert_eq!(mistakes[3], "D is not set. It is: a password");
    }

    #[test]
    fn a_limit_holds_at_n_and_not_at_n_plus_one() {
        for (given, good) in [("1", true), ("10", true), ("0", false), ("11", false)] {
            let mut settings = settings(&[("C", given)]);
            settings.number("C", 5, 1..=10, "a small number");
            assert_eq!(settings.finish().is_ok(), good, "{given}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut settings = settings(&[("D", "hunter2"), ("E", "")]);
        assert_eq!(settings.secret("D", "a password").expose(), "hunter2");
        assert_eq!(settings.optional_secret("E", "another"), None);
        assert!(!format!("{:?}", settings.finish().unwrap()).contains("hunter2"));
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "Secret(..)");
    }
}
