//! What is sent: ids, re-sends, keys, encodings, pace.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use benches::load::{LoadKey, run};

use crate::server::Answer;
use crate::{Bench, KEY};

#[tokio::test]
async fn deliberate_resends_are_a_share_of_all_events_and_were_acknowledged_before() {
    for batch in [1, 10] {
        let bench = Bench::new(|_| Answer::Accept).await.with(|options| {
            (options.events, options.batch, options.retry_share) = (Some(1_000), batch, 20);
        });
        let report = bench.run().await;
        // 1,000 different events are then 80 % of all.
        assert!((240..=250).contains(&report.events_resent), "{report}");
        assert_eq!(report.events_sent, 1_000 + report.events_resent);
        let mut seen = BTreeSet::new();
        for request in bench.server.received() {
            let unique: BTreeSet<_> = request.ids.iter().cloned().collect();
            assert_eq!(unique.len(), request.ids.len(), "an id twice in one request");
            seen.extend(unique);
        }
        assert_eq!((seen.len(), bench.counts()), (1_000, (1_000, 0, 0)));
    }
}

#[tokio::test]
async fn connections_have_ids_of_their_own_and_share_the_events() {
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| {
        (options.events, options.connections) = (Some(1_003), 7);
    });
    bench.run().await;
    assert_eq!((bench.server.stored().len(), bench.counts()), (1_003, (1_003, 0, 0)));
}

#[tokio::test]
async fn the_same_seed_sends_the_same_ids_and_another_seed_others() {
    let mut runs = Vec::new();
    for seed in [Some(1), Some(1), Some(2), None, None] {
        let bench = Bench::new(|_| Answer::Accept).await.with(|options| options.seed = seed);
        bench.run().await;
        runs.push(bench.server.stored());
    }
    assert_eq!(runs[0], runs[1]);
    let ids: BTreeSet<_> = runs.iter().flat_map(BTreeMap::keys).collect();
    assert_eq!(ids.len(), 4 * 20);
}

#[tokio::test]
async fn every_key_is_used_and_none_is_written_down() {
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| {
        options.keys.push(LoadKey::from_str("wk_live_other_key").unwrap());
        options.connections = 4;
    });
    let report = bench.run().await;
    let keys: BTreeSet<_> = bench.server.received().iter().map(|request| request.key().to_owned()).collect();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["Bearer wk_live_other_key", &format!("Bearer {KEY}")]);
    let written = std::fs::read_to_string(bench.journal_path()).unwrap();
    let printed = format!("{report} {}", serde_json::to_string(&report).unwrap());
    assert!(!written.contains("wk_live") && !printed.contains("wk_live"));
}

#[tokio::test]
async fn each_request_takes_the_next_key_of_a_file_and_every_attempt_of_it_the_same() {
    let answers = |number: usize| match number % 3 {
        1 => Answer::Unsure { stored: true },
        _ => Answer::Accept,
    };
    let bench = Bench::new(answers).await;
    let file = bench.journal_path().with_extension("keys");
    std::fs::write(&file, (0..7).map(|number| format!("wk_live_{number}\n")).collect::<String>()).unwrap();
    let bench = bench.with(|options| {
        (options.keys, options.keys_file) = (Vec::new(), Some(file));
        (options.events, options.connections, options.retry) = (Some(140), 2, true);
    });
    let report = bench.run().await;
    assert!(report.requests_retried > 0, "{report}");
    let (mut of_key, mut of_batch) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::<_, BTreeSet<_>>::new());
    for request in bench.server.received() {
        of_key.entry(request.key().to_owned()).or_default().insert(request.ids[0].clone());
        of_batch.entry(request.ids[0].clone()).or_default().insert(request.key().to_owned());
    }
    assert_eq!(of_key.values().map(BTreeSet::len).collect::<Vec<_>>(), [4; 7], "28 batches");
    assert!(of_batch.values().all(|keys| keys.len() == 1), "{of_batch:?}");
    // Each event was sent for one project alone, so that the journal's promises can be checked as ever.
    assert_eq!((bench.server.stored().len(), bench.counts()), (140, (140, 0, 0)));
    let written = std::fs::read_to_string(bench.journal_path()).unwrap();
    assert!(!written.contains("wk_live"));
}

#[tokio::test]
async fn compressed_bodies_hold_the_same_events() {
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| options.gzip = true);
    let report = bench.run().await;
    assert!(report.body_bytes < report.plain_bytes, "{report}");
    assert_eq!(bench.server.stored().len(), 20);
}

#[tokio::test]
async fn an_open_loop_keeps_to_its_rate() {
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| {
        (options.rate, options.connections) = (Some(100), 2);
    });
    let report = bench.run().await;
    // Two connections begin 50 ms apart, each with a batch of 5 every 100 ms: the fourth batch is due at 150 ms.
    assert!(report.elapsed_ms >= 150 && report.is_open_loop, "{report}");
    assert_eq!(report.requests, 4);
}

#[tokio::test]
async fn no_batch_begins_after_the_duration() {
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| {
        (options.events, options.rate) = (None, Some(1));
        options.duration = Some(Duration::from_secs(4));
    });
    assert_eq!(bench.run().await.requests, 1, "the second is due after 5 s, so the run ends at once");
}

#[tokio::test]
async fn percentiles_are_in_order_and_count_every_acknowledgement() {
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| options.events = Some(1_000));
    let report = bench.run().await;
    let latency = report.latency;
    assert_eq!(latency.count, report.requests);
    let percentiles = [latency.p50_us, latency.p90_us, latency.p99_us, latency.p99_9_us, latency.max_us];
    assert!(percentiles.is_sorted() && latency.p50_us > 0, "{latency}");
    assert!(latency.max_us / 1_000 <= report.elapsed_ms + 1, "{report}");
}

#[tokio::test]
async fn a_journal_is_never_added_to() {
    let bench = Bench::new(|_| Answer::Accept).await;
    bench.run().await;
    let error = run(bench.options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("can't create the journal"), "{error}");
    assert_eq!(bench.server.received().len(), 4);
}
