//! Records that nobody can read, appended to the log when the fault campaign orders them (`weir.poison`).

use std::sync::Arc;
use std::time::Duration;

use eventlog::{Append, EventLog};

/// Between two looks for an order.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// For the log to take one of them.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of a large one: under a frame's limit.
const LARGE: usize = 800_000;

/// Appends every kind of poison once for each order. For processes that append at all.
pub(crate) async fn append_when_ordered(log: Arc<dyn EventLog>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some(number) = faults::ordered("weir.poison") {
            for payload in kinds(number) {
                append(&*log, payload).await;
            }
            tracing::info!(number, "the log is poisoned");
        }
    }
}

async fn append(log: &dyn EventLog, payload: Vec<u8>) {
    let partition = 0;
    let record = Append { partition, timestamp_ms: 0, payload: payload.into() };
    if let Err(error) = log.append(vec![record], DEADLINE).await {
        tracing::error!(%error, "poison was not appended");
    }
}

/// Each with the order's number in it, so that it is known again among dead letters.
fn kinds(number: u64) -> Vec<Vec<u8>> {
    let mark = format!("poison-{number}-");
    let with = |head: &[u8], tail: &[u8]| [head, mark.as_bytes(), tail].concat();
    vec![
        with(b"", b"text"),
        with(b"{\"event\":", b"\"half of some JSON"),
        // Versions that there are not yet, and one that there is, with nothing that belongs to it.
        with(&[250, 0], b"version"),
        with(&[1, 0, 1, 0], b"envelope"),
        with(b"", &[0xff, 0xfe, 0xc0, 0x80]),
        with(b"", &vec![0; LARGE]),
    ]
}
