use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemas::id::KeyId;
use service::error::Chain;
use service::shutdown::Shutdown;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Directory;

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
    while !shutdown.is_ordered() {
        tokio::select! {
            () = tokio::time::sleep(NOTE_EVERY) => {}
            () = shutdown.ordered() => {}
        }
        used.extend(directory.take_used());
        while !used.is_empty() {
            let keys: Vec<i64> = used.iter().take(KEYS_MAX).map(|key| key.number()).collect();
            match timeout(NOTE_DEADLINE, note(&pool, &keys)).await {
                Ok(Ok(())) => {
                    let next = used.iter().nth(keys.len()).copied();
                    used = next.map_or_else(BTreeSet::new, |next| used.split_off(&next));
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = %Chain(&error), "it was not written down which keys were used, trying again later");
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

/// Keys that another node notes at this moment are left to it; and what was noted a moment ago is not noted again.
async fn note(pool: &PgPool, keys: &[i64]) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE api_key SET last_used_at = now() WHERE id IN (
             SELECT id FROM api_key
             WHERE id = ANY($1) AND (last_used_at IS NULL OR last_used_at < now() - interval '15 seconds')
             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(keys)
    .execute(pool)
    .await?;
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
