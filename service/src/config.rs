//! Settings from the environment, all of them read, and all mistakes reported, before any is acted on.
//!
//! A role asks a [`Settings`] for each setting by name, with its default; what it asked for can be printed with
//! its source (`weir config`), secrets left out. A secret `NAME` may stand in a file instead, which `NAME_FILE` names.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::str::FromStr;
use std::time::Duration;

/// Bytes of a file with a secret at most: a certificate chain would do, `/dev/zero` does not.
const SECRET_BYTES_MAX: u64 = 64 << 10;

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

/// Where a setting's value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// Its variable.
    Environment,
    /// The file of this path, which the variable with `_FILE` at its end names.
    File(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

/// One setting as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its effective value, or `<secret>`.
    pub value: String,
    /// Where that value came from.
    pub source: Source,
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

    /// What stands between `before` and `after` in the names of variables, in order: a setting that there may be
    /// several of has a name of the operator's choice there.
    #[must_use]
    pub fn names_within(&self, before: &str, after: &str) -> Vec<String> {
        let within = |name: &String| Some(name.strip_prefix(before)?.strip_suffix(after)?.to_owned());
        let mut names: Vec<String> = self.variables.keys().filter_map(within).collect();
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names
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

    /// A secret that may be absent: what `name` holds, or what stands in the file that `name` with `_FILE` names.
    pub fn optional_secret(&mut self, name: &'static str, meaning: &'static str) -> Option<Secret> {
        let given = self.variables.get(name).cloned();
        let file = self.variables.get(&format!("{name}_FILE")).cloned();
        if given.is_some() && file.is_some() {
            self.mistakes.push(format!("{name} and {name}_FILE are both set: set one of them"));
        }
        let source = match (&given, &file) {
            (Some(_), _) => Source::Environment,
            (None, Some(path)) => Source::File(path.clone()),
            (None, None) => Source::Default,
        };
        let value = given.or_else(|| Some(self.secret_in_file(name, &file?))).map(Secret);
        let shown = if value.is_some() { "<secret>" } else { "" };
        self.asked.push(Setting { name, value: shown.to_owned(), source, meaning });
        value
    }

    /// A secret that must be there, in its variable or in a file.
    pub fn secret(&mut self, name: &'static str, meaning: &'static str) -> Secret {
        self.optional_secret(name, meaning).unwrap_or_else(|| {
            self.mistakes.push(format!("{name} is not set. It is: {meaning}"));
            Secret(String::new())
        })
    }

    /// Nothing, and a mistake noted, if the file can't be read.
    fn secret_in_file(&mut self, name: &str, path: &str) -> String {
        read_secret(path).unwrap_or_else(|reason| {
            self.mistakes.push(format!("{name}_FILE={path} can't be used: {reason}"));
            String::new()
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
        // Several roles of one process may ask for the same.
        if self.asked.iter().any(|asked| asked.name == name) {
            return;
        }
        let is_set = self.variables.contains_key(name);
        let source = if is_set { Source::Environment } else { Source::Default };
        self.asked.push(Setting { name, value, source, meaning });
    }
}

/// The file's text without the line break at its end, which editors and `echo` put there; or why there is none.
fn read_secret(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!("it holds more than {SECRET_BYTES_MAX} bytes"));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text);
    match line.strip_suffix('\r').unwrap_or(line) {
        "" => Err("it is empty".to_owned()),
        secret => Ok(secret.to_owned()),
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

    /// What the setting `D` is read as if `D_FILE` names a file with these bytes.
    fn in_file(bytes: &[u8]) -> Result<(Option<String>, Setting), ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d").display().to_string();
        std::fs::write(&path, bytes).unwrap();
        let mut settings = settings(&[("D_FILE", &path)]);
        let secret = settings.optional_secret("D", "a password");
        let setting = settings.finish()?.remove(0);
        assert_eq!(setting.source, Source::File(path));
        Ok((secret.map(|secret| secret.expose().to_owned()), setting))
    }

    #[test]
    fn a_secret_may_stand_in_a_file_and_one_line_break_at_its_end_is_not_part_of_it() {
        for (written, read) in [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            (" h 2 \n\n", " h 2 \n"),
        ] {
            let (secret, setting) = in_file(written.as_bytes()).unwrap();
            assert_eq!((secret.as_deref(), setting.value.as_str()), (Some(read), "<secret>"), "{written:?}");
        }
        let largest = vec![b'a'; 64 << 10];
        assert!(in_file(&largest).is_ok());
    }

    #[test]
    fn a_file_that_holds_no_secret_is_a_mistake_that_names_the_path() {
        let too_large = vec![b'a'; (64 << 10) + 1];
        for (bytes, reason) in [
            (&b""[..], "it is empty"),
            (b"\n", "it is empty"),
            (b"\xff", "UTF-8"),
            (&too_large, "65536 bytes"),
        ] {
            let mistakes = in_file(bytes).unwrap_err().0;
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with("D_FILE=/") && mistakes[0].contains(reason), "{mistakes:?}");
        }
        let mut settings = settings(&[("D_FILE", "/nowhere/d"), ("E", "hunter2"), ("E_FILE", "/nowhere/e")]);
        settings.secret("D", "a password");
        settings.secret("E", "another");
        let mistakes = settings.finish().unwrap_err().0;
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("D_FILE=/nowhere/d can't be used: No such file"), "{mistakes:?}");
        assert_eq!(mistakes[1], "E and E_FILE are both set: set one of them");
    }
}
