//! `kill -9` under load: every acknowledged event is stored exactly once, and the books agree.

use std::path::Path;
use std::time::Duration;

use testkit::eventually;
use testkit::stores::optional;
use tokio::process::Child;

use crate::process::{Place, Process};

/// How long the load lasts, and how often something is killed in it.
const LOAD: &str = "20s";
const KILLS: u32 = 5;

/// A tenant without a cap, a key, and `weir load` on its way.
async fn load(place: &Place, urls: &str, journal: &Path) -> Child {
    let tenant = place.run_json(&["tenant", "create", "loaded", "--plan", "unlimited"]).await;
    let key = place.run_json(&["key", "create", tenant["id"].as_str().unwrap()]).await;
    let key = key["key"].as_str().unwrap().to_owned();
    let journal = journal.to_str().unwrap();
    let arguments =
        ["load", "--retry", "--retry-share", "10", "--grace", "60s", "--batch", "50", "--rate", "5000"];
    place
        .command(&arguments)
        .args(["--url", urls, "--key", &key, "--duration", LOAD, "--journal", journal])
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// All that was promised is kept, and the three counts agree.
async fn assert_kept(place: &Place, journal: &Path) {
    let journal = journal.to_str().unwrap();
    let report = place.run_json(&["load", "--check", journal, "--within-seconds", "90"]).await;
    assert!(report["acknowledged"].as_u64().unwrap() > 10_000, "{report}");
    eventually("the books agree", Duration::from_secs(30), async || {
        place.command(&["verify"]).output().await.unwrap().status.success()
    })
    .await;
    let verdict = place.run_json(&["verify"]).await;
    assert_eq!(verdict["mismatch_count"], 0, "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn standalone_keeps_every_promise_when_it_is_killed() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let mut process = place.start("standalone").await;
    let journal = place.stores.folder.path().join("journal");
    let mut load = load(&place, &process.url, &journal).await;
    for kill in 0..KILLS {
        // A time under load before each kill, and not always up to the same place in a batch.
        tokio::time::sleep(Duration::from_millis(1_500 + 370 * u64::from(kill))).await;
        process = process.killed_and_started_again(&place).await;
    }
    assert!(load.wait().await.unwrap().success());
    assert_kept(&place, &journal).await;
    process.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_every_promise_when_its_processes_are_killed() {
    let Some(brokers) = optional("WEIR_TEST_KAFKA_BROKERS") else {
        println!("NO KAFKA BROKER: the cluster's kill test was not run, see `make test`");
        return;
    };
    let place = Place::new(Some(&brokers)).await;
    place.run(&["migrate"]).await;
    let mut processes = Vec::new();
    for role in ["ingest", "ingest", "processor", "processor", "billing"] {
        processes.push(place.start(role).await);
    }
    let urls = format!("{},{}", processes[0].url, processes[1].url);
    let journal = place.stores.folder.path().join("journal");
    let mut load = load(&place, &urls, &journal).await;
    for victim in [2, 0, 3, 1, 4] {
        // A time under load before each kill.
        tokio::time::sleep(Duration::from_millis(1_700)).await;
        let process = processes.swap_remove(victim);
        processes.push(process.killed_and_started_again(&place).await);
        let last = processes.len() - 1;
        processes.swap(victim, last);
    }
    assert!(load.wait().await.unwrap().success());
    assert_kept(&place, &journal).await;
}

impl Process {
    /// Kills the process and starts it again, with the same address.
    async fn killed_and_started_again(mut self, place: &Place) -> Self {
        self.kill().await;
        place.start_again(self).await
    }
}
