//! The file of the geo database, and the newest database in it that was good.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::task::{Pace, every};
use tokio::task::{JoinError, spawn_blocking};

use super::geo::{Database, GeoError};
use crate::metrics;

/// How often the file is looked at. What is found changed must be so at the next look, too: it may still be written.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A file that can be replaced while it is in use.
#[derive(Debug)]
pub(super) struct GeoFile {
    path: PathBuf,
    database: RwLock<Arc<Database>>,
    opened: Option<Stamp>,
}

/// What distinguishes one state of a file from another: inode, size, seconds and nanoseconds of its last change.
type Stamp = (u64, u64, i64, i64);

impl GeoFile {
    pub(super) fn open(path: &Path) -> Result<Self, GeoError> {
        // Of before it is read: a change in between is found later.
        let opened = stamp(path);
        let database = RwLock::new(Arc::new(Database::open(path)?));
        Ok(Self { path: path.to_owned(), database, opened })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database.read())
    }

    /// Takes over each good file that is put in the place of the old one, until `shutdown` is ordered.
    pub(super) async fn keep_fresh(self: Arc<Self>, shutdown: Shutdown) {
        log("the geo database is", &self.database());
        let (mut known, mut seen) = (self.opened, self.opened);
        let mut rounds = every("the geo database's watch", Pace::after(LOOK_EVERY), shutdown);
        while rounds.due().await {
            let round = async {
                let path = self.path.clone();
                let found = spawn_blocking(move || stamp(&path)).await?;
                if found != known && found == seen {
                    known = found;
                    self.reload().await;
                }
                seen = found;
                Ok::<_, JoinError>(())
            };
            rounds.attempt(round).await;
        }
    }

    async fn reload(&self) {
        let path = self.path.clone();
        let result = match spawn_blocking(move || Database::open(&path)).await {
            Ok(Ok(database)) => {
                log("the geo database was replaced: it is now", &database);
                *self.database.write() = Arc::new(database);
                "ok"
            }
            Ok(Err(error)) => {
                let path = self.path.display();
                tracing::error!(error = %Chain(&error), %path, "the new geo database can't be used: the old one stays");
                "failed"
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the new geo database was not read: the old one stays");
                "failed"
            }
        };
        ::metrics::counter!(metrics::GEO_RELOADS, "result" => result).increment(1);
    }
}

fn log(what: &str, database: &Database) {
    tracing::info!(kind = database.kind(), built = database.built(), "{what}");
    ::metrics::gauge!(metrics::GEO_BUILT_SECONDS).set(f64::from(database.built()));
}

/// `None` if the file is not there.
fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}
