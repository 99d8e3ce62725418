//! Which partitions are halted, for those who watch: the log, the metrics, `/readyz`.

use std::collections::BTreeMap;
use std::time::Duration;

use service::ops::Readiness;
use service::shutdown::Shutdown;
use service::task::{Pace, every};

use crate::metrics;
use crate::stores::Books;

/// How often the books are asked.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Says once of each partition that it is halted, and why, and once that it is not any more. `partitions`: how many
/// there are.
pub(super) async fn keep_watched(
    books: impl Books,
    partitions: u32,
    readiness: Readiness,
    shutdown: Shutdown,
) {
    let mut known = BTreeMap::new();
    let mut rounds = every("watching halted partitions", Pace::at_once(WATCH_EVERY), shutdown);
    while rounds.due().await {
        let round = async {
            let halted = books.halted().await?;
            report(&known, &halted);
            let all = u32::try_from(halted.len()) == Ok(partitions);
            readiness.hindered_by(all.then_some("every partition is halted: weir partition list says why"));
            known = halted;
            Ok::<_, service::store::StoreError>(())
        };
        rounds.attempt(round).await;
    }
}

fn report(known: &BTreeMap<u32, String>, halted: &BTreeMap<u32, String>) {
    let gauge =
        |partition: &u32| ::metrics::gauge!(metrics::PARTITION_HALTED, "partition" => partition.to_string());
    for (partition, reason) in halted {
        if known.get(partition) != Some(reason) {
            tracing::error!(
                partition,
                reason,
                "a partition is halted: nobody processes it until `weir partition resume`"
            );
            gauge(partition).set(1.0);
        }
    }
    for partition in known.keys().filter(|partition| !halted.contains_key(partition)) {
        tracing::info!(partition, "a partition is not halted any more");
        gauge(partition).set(0.0);
    }
}
