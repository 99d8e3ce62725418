//! A process that is started while Postgres is away.

use std::process::Stdio;
use std::time::Duration;

use testkit::{Client, Proxy, eventually};

use crate::process::{ADDRESSES, Place};

/// Databases whose Postgres can be cut off, a key of a tenant without a cap, and a node that has saved both and was
/// killed.
async fn killed_and_cut_off() -> (Place, Proxy, String, crate::process::Process) {
    let mut place = Place::new(None).await;
    let proxy = place.behind_proxy().await;
    place.run(&["migrate"]).await;
    place.run(&["tenant", "create", "acme", "--plan", "unlimited"]).await;
    let key = place.run_json(&["key", "create", "acme"]).await["key"].as_str().unwrap().to_owned();
    let mut process = place.start("standalone").await;
    let saved = place.stores.folder.path().join("data/directory");
    eventually("keys and tenants are saved", Duration::from_secs(10), async || saved.exists()).await;
    process.kill().await;
    proxy.cut();
    (place, proxy, key, process)
}

#[tokio::test(flavor = "multi_thread")]
async fn standalone_serves_from_its_disk_while_postgres_is_away_and_processes_when_it_is_back() {
    let (place, proxy, key, process) = killed_and_cut_off().await;
    let process = place.start_again(process).await;
    let client = Client::new(process.url.trim_start_matches("http://").parse().unwrap(), Some(&key));
    assert_eq!(client.post_ids(0..100).await.status, 202);
    proxy.mend();
    eventually("what came in meanwhile is metered", Duration::from_secs(30), async || {
        place.run_json(&["usage", "acme"]).await["stored"] == 100
    })
    .await;
    assert_eq!(place.run_json(&["verify"]).await["mismatch_count"], 0);
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_ordered_to_stop_while_it_waits_for_postgres_stops() {
    let (place, _proxy, _, process) = killed_and_cut_off().await;
    let process = place.start_again(process).await;
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_appended_to_a_log_that_may_be_another_databases_and_the_process_ends_when_it_is() {
    let (place, proxy, key, _) = killed_and_cut_off().await;
    std::fs::remove_dir_all(place.stores.folder.path().join("data/log")).unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let process = place
        .command(&["standalone"])
        .envs(ADDRESSES.map(|name| (name, "127.0.0.1:0")))
        .env("WEIR_INGEST_ADDR", address.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let client = Client::new(address, Some(&key));
    let event = [("content-type", "application/json")];
    eventually("it answers, and takes nothing", Duration::from_secs(30), async || {
        let reply = client.try_send(hyper::Method::POST, "/v1/events", &event, r#"{"event":"x"}"#).await;
        reply.is_ok_and(|reply| {
            assert_eq!((reply.status, reply.code().as_str()), (503, "unavailable"));
            true
        })
    })
    .await;
    proxy.mend();
    let output =
        tokio::time::timeout(Duration::from_secs(30), process.wait_with_output()).await.unwrap().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("this database belongs to the log"), "{error}");
}
