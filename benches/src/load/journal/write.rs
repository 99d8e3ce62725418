//! Appending to the journal while the run goes on.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::{Line, RunHeader};

/// The journal of a run that goes on, shared by its connections.
///
/// A line is one `write` to a file opened for appending: once [`append`](Self::append) returns, it survives the
/// death of this process, and lines of several connections do not mix. That costs a microsecond or two a line.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    file: File,
}

impl JournalWriter {
    /// Begins a new file; an existing one is never added to, since its promises are another run's.
    pub(crate) fn create(path: &Path, header: &RunHeader) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path)
            .with_context(|| format!("can't create the journal {}", path.display()))?;
        let mut line = serde_json::to_vec(header)?;
        line.push(b'\n');
        (&file).write_all(&line).context("can't write to the journal")?;
        Ok(Self { file })
    }

    /// Hands one line to the operating system.
    pub(crate) fn append(&self, line: &Line) -> anyhow::Result<()> {
        let text = format!("{line}\n");
        (&self.file).write_all(text.as_bytes()).context("can't write to the journal")
    }

    /// Waits until all of it is on disk.
    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        self.file.sync_all().context("can't sync the journal")
    }
}
