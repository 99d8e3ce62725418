//! Threads for what a batch should not wait for. All stores of a processor share two: one for tables that go to disk,
//! which stores wait for when they come too fast, and one for merges, which may take minutes.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// The threads; they end with the last value that can send them jobs. A store has one job of each kind at most.
#[derive(Debug, Clone)]
pub(super) struct Background {
    flushes: Sender<Job>,
    merges: Sender<Job>,
}

impl Background {
    /// # Errors
    /// If the system gives no threads.
    pub(super) fn start() -> io::Result<Self> {
        let ((flushes, to_flush), (merges, to_merge)) = (mpsc::channel(), mpsc::channel());
        start("ids-flush", to_flush)?;
        start("ids-merge", to_merge)?;
        Ok(Self { flushes, merges })
    }

    pub(super) fn flush(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.flushes.send(Box::new(job)).map_err(|_| gone())
    }

    pub(super) fn merge(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.merges.send(Box::new(job)).map_err(|_| gone())
    }
}

fn start(name: &str, jobs: Receiver<Job>) -> io::Result<()> {
    let work = move || jobs.into_iter().for_each(|job| job());
    thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
}

fn gone() -> io::Error {
    io::Error::other("the thread that brings ids to disk has ended")
}
