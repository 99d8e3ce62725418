//! Dead letters, replay and repair from the command line.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use eventlog::local::{LocalConfig, LocalLog};
use eventlog::{Append, EventLog};
use testkit::eventually;

use crate::process::{Place, Process};

fn log_folder(place: &Place) -> PathBuf {
    place.stores.folder.path().join("data/log")
}

/// Appends records that nobody can read, while no process has the log.
async fn append_junk(place: &Place, records: usize) {
    let log = LocalLog::open(LocalConfig::new(log_folder(place), 1)).unwrap();
    let junk = Append { partition: 0, timestamp_ms: 0, payload: Bytes::from_static(b"junk\x00\xff") };
    log.append(vec![junk; records], Duration::from_secs(5)).await.unwrap();
    log.close(Duration::from_secs(5)).await;
}

async fn stored(place: &Place, events: i64) {
    eventually("the events are metered", Duration::from_secs(30), async || {
        place.stores.postgres_number("SELECT coalesce(sum(stored), 0)::bigint FROM usage_hour").await
            == events
    })
    .await;
}

async fn events(place: &Place, process: &Process, ids: std::ops::Range<u32>) {
    let (_, key) = place.customer("acme", &[]).await;
    let client = process.client(Some(&key));
    eventually("ingest knows the key", Duration::from_secs(5), async || {
        client.post_json("/v1/events", "").await.status != 401
    })
    .await;
    assert_eq!(client.post_ids(ids).await.status, 202);
}

async fn refused(place: &Place, arguments: &[&str], code: i32) -> String {
    let output = place.command(arguments).output().await.unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_replayed_and_given_up() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    append_junk(&place, 2).await;
    let process = place.start("standalone").await;
    eventually("the letters are there", Duration::from_secs(30), async || {
        place.stores.postgres_number("SELECT count(*) FROM dead_letter").await == 2
    })
    .await;
    let letters = place.run_json(&["dead", "list", "--state", "dead", "--since", "1h"]).await;
    let ids: Vec<&str> =
        letters.as_array().unwrap().iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    assert_eq!((ids[0], ids.len()), ("0:0", 2), "{letters}");
    let shown = place.run(&["dead", "show", "0:0"]).await;
    assert!(shown.starts_with("letter 0:0: dead; 1 events of tenant unknown"), "{shown}");
    assert!(
        shown.contains("frame version 106 is not known") && shown.contains("6a 75 6e 6b 00 ff"),
        "{shown}"
    );
    assert!(shown.contains(" junk.."), "{shown}");
    let raw = place.command(&["dead", "show", "0:0", "--raw"]).output().await.unwrap();
    assert_eq!(raw.stdout, b"junk\x00\xff");

    assert_eq!(place.run_json(&["dead", "replay", "--reason", "of another kind"]).await["asked"], 0);
    assert_eq!(place.run_json(&["dead", "replay", "--all"]).await["asked"], 2);
    eventually("they are dead again", Duration::from_secs(30), async || {
        place.stores.postgres_number("SELECT count(*) FROM dead_letter WHERE state = 'dead'").await == 2
    })
    .await;
    assert_eq!(place.run_json(&["dead", "discard", ids[1]]).await["discarded"], 1);
    let again = refused(&place, &["dead", "replay", ids[1]], 1).await;
    assert!(again.contains("is discarded already"), "{again}");
    let unknown = refused(&place, &["dead", "show", "0:77"], 1).await;
    assert!(unknown.contains("there is no dead letter 0:77"), "{unknown}");
    for arguments in [&["dead", "replay"][..], &["dead", "replay", "0:0", "--all"], &["dead", "show", "0"]] {
        refused(&place, arguments, 2).await;
    }
    assert!(place.run(&["verify"]).await.contains("everything agrees"));
    assert!(process.stop().await.success());
}

/// Why the only partition is halted, once it is.
async fn halted(place: &Place) -> String {
    eventually("the partition is halted", Duration::from_secs(30), async || {
        place.stores.postgres_number("SELECT count(halted_at) FROM partition_cursor").await == 1
    })
    .await;
    let partitions = place.run_json(&["partition", "list"]).await;
    let partition = &partitions[0];
    assert_eq!((&partition["next_offset"], &partition["lag"]), (&0.into(), &2.into()), "{partition}");
    assert!(partition["halted_at"].is_string() && partition["owner"].is_null(), "{partition}");
    partition["halted_reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_dead_letters_halt_their_partition_until_somebody_decides() {
    let mut place = Place::new(None).await;
    place.set("WEIR_DEAD_EVENTS_MAX", "1");
    place.run(&["migrate"]).await;
    append_junk(&place, 2).await;
    let process = place.start("standalone").await;
    let reason = halted(&place).await;
    assert!(reason.starts_with("2 events of partition 0 within 60 minutes can't be read"), "{reason}");
    eventually("/readyz and /metrics say so", Duration::from_secs(5), async || {
        process.readiness().await
            == (200, "ready\nevery partition is halted: weir partition list says why\n".into())
            && process.metrics().await.contains("weir_processor_partition_halted{partition=\"0\"} 1")
    })
    .await;
    for looked in [["partition", "list"].as_slice(), &["river"]] {
        assert!(place.run(looked).await.contains(", halted since "));
    }
    // What a processor of the version before would take.
    let taken = "SELECT count(*) FROM partition_cursor WHERE lease_until < now()";
    assert_eq!(place.stores.postgres_number(taken).await, 0);
    // Its cause is still there.
    place.run(&["partition", "resume", "0"]).await;
    assert_eq!(halted(&place).await, reason);
    assert!(process.stop().await.success());

    let process = place.start_unready("processor").await;
    eventually("one that can process nothing is not ready", Duration::from_secs(30), async || {
        process.readiness().await
            == (503, "not ready\nevery partition is halted: weir partition list says why\n".into())
    })
    .await;
    place.run(&["dead", "resume"]).await;
    place.run(&["partition", "resume", "0"]).await;
    eventually("it is ready", Duration::from_secs(30), async || process.readiness().await.0 == 200).await;
    assert!(process.stop().await.success());
    let process = place.start("standalone").await;
    events(&place, &process, 0..5).await;
    stored(&place, 5).await;
    assert!(place.run(&["verify"]).await.contains("dead 2"));
    let error = refused(&place, &["partition", "resume", "0"], 1).await;
    assert!(error.contains("partition 0 is not halted"), "{error}");
    let error = refused(&place, &["partition", "resume", "1"], 1).await;
    assert!(error.contains("there is no partition 1"), "{error}");
    let list = place.run(&["partition", "list"]).await;
    assert!(list.starts_with("partition 0: processed to ") && list.contains(", owner "), "{list}");
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_rows_are_brought_back_while_a_process_runs() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let process = place.start("standalone").await;
    events(&place, &process, 0..50).await;
    stored(&place, 50).await;
    let truncate = "TRUNCATE TABLE events";
    place.stores.clickhouse().query(truncate).execute().await.unwrap();
    refused(&place, &["verify"], 1).await;
    let report = place.run_json(&["replay", "--all"]).await;
    assert_eq!((&report["inserted"], &report["failed"]), (&50.into(), &0.into()), "{report}");
    assert!(place.run(&["verify"]).await.contains("everything agrees"));
    place.stores.clickhouse().query(truncate).execute().await.unwrap();
    let mended = place.run(&["verify", "--repair"]).await;
    assert!(
        mended.contains("50 rows inserted, 0 removed") && mended.contains("everything agrees"),
        "{mended}"
    );
    let period = ["replay", "--period", "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z", "--json"];
    assert!(place.run(&period).await.contains("\"damaged\":0"));
    assert!(
        place
            .run(&["replay", "--partition", "0", "--from", "0", "--to", "9"])
            .await
            .contains("of 1 ledger ranges 0")
    );
    for arguments in [
        &["replay"][..],
        &["replay", "--partition", "0"],
        &["replay", "--all", "--period", "2020-01-01T00:00:00Z"],
    ] {
        refused(&place, arguments, 2).await;
    }
    eventually("rows and ledger are compared by themselves", Duration::from_secs(40), async || {
        let metrics = process.metrics().await;
        metrics.contains("weir_reconcile_mismatched_ranges 0")
            && metrics.contains("weir_reconcile_age_seconds")
    })
    .await;
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_be_read_proves_nothing_either_way() {
    let mut place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let process = place.start("standalone").await;
    events(&place, &process, 0..5).await;
    stored(&place, 5).await;
    assert!(process.stop().await.success());
    let away = std::path::Path::new("away");
    let aside = log_folder(&place).with_file_name(away);
    std::fs::rename(log_folder(&place), &aside).unwrap();
    let error = refused(&place, &["verify"], 2).await;
    assert!(error.starts_with("weir: nothing was proved either way: "), "{error}");
    std::fs::rename(&aside, log_folder(&place)).unwrap();
    assert!(place.run(&["verify"]).await.contains("everything agrees"));
    let url = place.stores.database_url.clone();
    for (name, value) in
        [("CLICKHOUSE_URL", "http://127.0.0.1:1"), ("DATABASE_URL", "postgres://127.0.0.1:1/none")]
    {
        place.set(name, value);
        for arguments in [&["verify"][..], &["verify", "--repair"]] {
            let error = refused(&place, arguments, 2).await;
            assert!(error.starts_with("weir: nothing was proved either way: "), "{error}");
        }
        place.set("CLICKHOUSE_URL", &place.stores.clickhouse.url.clone());
        place.set("DATABASE_URL", &url);
    }
}
