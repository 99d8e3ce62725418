//! The one way in which errors are printed.
//!
//! An error's own text never repeats its cause, which stands in `source` alone; the code that handles an error logs it
//! once, as a [`Chain`].

use std::error::Error;
use std::fmt;

/// An error with all its causes, as text: `the log can't be read: no answer: connection reset`.
///
/// Errors of other crates often repeat their cause at their end: there it is left out.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'e>(pub &'e (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                write!(f, ": {next}")?;
            }
            (text, cause) = (next, error.source());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the row can't be read")]
    struct Ours(#[source] Theirs);

    #[derive(Debug, thiserror::Error)]
    #[error("error communicating with database: {0}")]
    struct Theirs(#[source] std::io::Error);

    #[test]
    fn every_cause_is_printed_once() {
        let error = Ours(Theirs(std::io::Error::other("connection reset")));
        assert_eq!(
            Chain(&error).to_string(),
            "the row can't be read: error communicating with database: connection reset"
        );
        assert_eq!(Chain(&std::fmt::Error).to_string(), std::fmt::Error.to_string());
    }
}
