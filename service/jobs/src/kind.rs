//! Kinds of jobs: what is run, how often it is tried, how long a run may take.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::db::job::Job;
use crate::ended::{Ended, Failure};

/// A kind of jobs.
#[derive(Clone)]
pub struct Kind {
    /// Its name, as in `mail.send`.
    pub name: &'static str,
    /// How many of them a node runs at once; 0: none, so that they wait for a node that does.
    pub concurrency: usize,
    /// How long a run may take.
    pub deadline: Duration,
    /// After so many failures a job is dead.
    pub attempts_max: i32,
    /// What is run.
    pub run: Run,
}

/// The function of a kind.
pub type Run = Arc<dyn Fn(Job) -> Running + Send + Sync>;
/// A run under way. It is dropped at its deadline, and when its claim is lost.
pub type Running = Pin<Box<dyn Future<Output = Result<Ended, Failure>> + Send>>;

/// Makes a [`Run`] of an async function.
pub fn run<F: Future<Output = Result<Ended, Failure>> + Send + 'static>(
    function: impl Fn(Job) -> F + Send + Sync + 'static,
) -> Run {
    Arc::new(move |job| Box::pin(function(job)))
}
