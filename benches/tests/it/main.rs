//! The load generator against a server that answers as a test says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod server;
mod outcomes;
mod outage;
mod sending;
mod check;

use std::path::PathBuf;
use std::time::Duration;

use benches::load::journal::{Journal, Promise};
use benches::load::{LoadOptions, LoadReport, run};
use server::Server;
use tempfile::TempDir;

const KEY: &str = "wk_live_test_key";

/// A server, and a run against it that keeps a journal.
struct Bench {
    server: Server,
    options: LoadOptions,
    folder: TempDir,
}

impl Bench {
    /// One connection that sends 20 events in batches of 5; `answers` decides how requests are answered.
    async fn new(answers: impl server::Answers) -> Self {
        let server = Server::start(answers).await;
        let folder = tempfile::tempdir().unwrap();
        let options = LoadOptions {
            events: Some(20),
            batch: 5,
            connections: 1,
            grace: Duration::from_secs(30),
            journal: Some(folder.path().join("journal")),
            ..LoadOptions::to(server.url(), KEY)
        };
        Self { server, options, folder }
    }

    fn with(mut self, change: impl FnOnce(&mut LoadOptions)) -> Self {
        change(&mut self.options);
        self
    }

    async fn run(&self) -> LoadReport {
        let report = run(self.options.clone()).await.unwrap();
        assert_eq!(
            report.events_sent,
            report.events_accepted + report.refused() + report.unknown(),
            "{report}"
        );
        report
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn journal(&self) -> Journal {
        Journal::read(&self.journal_path()).unwrap()
    }

    /// How many events have this outcome.
    fn count(&self, outcome: Promise) -> usize {
        self.journal().outcomes().filter(|(_, found)| *found == outcome).count()
    }

    /// Acknowledged, refused, unknown.
    fn counts(&self) -> (usize, usize, usize) {
        (self.count(Promise::Acknowledged), self.count(Promise::Refused), self.count(Promise::Unknown))
    }
}
