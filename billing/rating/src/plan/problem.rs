//! What is wrong with a plan: all of it at once.

use std::fmt;

use serde::Serialize;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A JSON pointer (RFC 6901) into the plan: `/charges/0/price/tiers/1/up_to`, or nothing for the plan itself.
    pub pointer: String,
    /// The rule that does not hold.
    pub detail: String,
}

/// A text is no valid plan: each problem is named, in the order of the form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidPlan {
    /// At least one, and the first [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the plan" } else { &self.pointer };
        write!(f, "{place}: {}", self.detail)
    }
}

impl fmt::Display for InvalidPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            let before = if n == 0 { "" } else { "; " };
            write!(f, "{before}{problem}")?;
        }
        Ok(())
    }
}

/// How many problems of a plan are named: a long text can have one at each member.
pub const PROBLEMS_MAX: usize = 100;

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, pointer: &str, detail: impl fmt::Display) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(Problem { pointer: pointer.to_owned(), detail: detail.to_string() });
        }
    }
}

/// A pointer one step further in.
pub(super) fn inside(pointer: &str, step: &str) -> String {
    format!("{pointer}/{}", step.replace('~', "~0").replace('/', "~1"))
}
