use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemas::id::KeyId;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::{POSTGRES, StoreError, in_time};
use service::task::{Pace, every};
use sqlx::PgPool;
use tokio::sync::watch;

use super::Directory;
use crate::db::api_key;

/// How often it is written down which keys were used: what operators see is as old as this at most.
const NOTE_EVERY: Duration = Duration::from_secs(30);
const NOTE_DEADLINE: Duration = Duration::from_secs(3);
/// Keys in one statement.
const KEYS_MAX: usize = 10_000;

/// Writes down which keys were used since it was last written down, until `shutdown` is ordered and a last time
/// then. What could not be written is written later.
pub async fn note_last_used(
    directory: Arc<Directory>,
    pool: PgPool,
    mut bound: watch::Receiver<bool>,
    shutdown: Shutdown,
) {
    tokio::select! {
        Ok(_) = bound.wait_for(|bound| *bound) => {}
        () = shutdown.ordered() => return,
    }
    // In the order of their ids, so that nodes which note the same keys do not wait for each other in a circle.
    let mut used: BTreeSet<KeyId> = BTreeSet::new();
    let mut rounds = every("last use of keys", Pace::after(NOTE_EVERY), shutdown);
    while rounds.due().await {
        rounds.attempt(note_all(&directory, &pool, &mut used)).await;
    }
    if let Err(error) = note_all(&directory, &pool, &mut used).await {
        tracing::warn!(error = %Chain(&error), "it was not written down which keys were used last");
    }
}

/// What was noted is taken out of `used`.
async fn note_all(
    directory: &Directory,
    pool: &PgPool,
    used: &mut BTreeSet<KeyId>,
) -> Result<(), StoreError> {
    used.extend(directory.take_used());
    while !used.is_empty() {
        let keys: Vec<i64> = used.iter().take(KEYS_MAX).map(|key| key.number()).collect();
        in_time(POSTGRES, NOTE_DEADLINE, api_key::note_used(pool, &keys)).await?;
        let next = used.iter().nth(keys.len()).copied();
        *used = next.map_or_else(BTreeSet::new, |next| used.split_off(&next));
    }
    Ok(())
}

impl Directory {
    fn take_used(&self) -> Vec<KeyId> {
        let used = std::mem::take(&mut *self.used.lock());
        let entries = self.entries.read();
        for entry in used.iter().filter_map(|key| entries.keys.get(*key)) {
            entry.used.store(false, Ordering::Relaxed);
        }
        used
    }
}
