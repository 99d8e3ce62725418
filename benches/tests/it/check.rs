//! One broken promise among a thousand is found.

use benches::load::journal::{CheckReport, Promise, check};

use crate::Bench;
use crate::server::Answer;

/// 1,000 events, of which every tenth batch is refused and every eleventh left open.
async fn bench() -> Bench {
    let answers = |number: usize| match (number % 10, number % 11) {
        (9, _) => Answer::Refuse(402, "quota_exceeded"),
        (_, 10) => Answer::Unsure { stored: number.is_multiple_of(2) },
        _ => Answer::Accept,
    };
    let bench = Bench::new(answers).await.with(|options| {
        (options.events, options.connections, options.retry_share) = (Some(1_000), 3, 10);
    });
    bench.run().await;
    bench
}

fn counts(report: &CheckReport) -> [u64; 4] {
    [&report.lost, &report.stored_twice, &report.refused_but_stored, &report.never_sent]
        .map(|found| found.count)
}

#[tokio::test]
async fn kept_promises_pass() {
    let bench = bench().await;
    let report = check(&bench.journal(), bench.server.stored());
    assert!(report.holds(), "{report}");
    assert!(report.acknowledged > 500 && report.refused > 50 && report.unknown > 50, "{report}");
    assert_eq!(report.acknowledged + report.refused + report.unknown, 1_000);
}

#[tokio::test]
async fn one_planted_loss_is_found() {
    let bench = bench().await;
    let mut stored = bench.server.stored();
    let (id, _) = bench.journal().outcomes().find(|(_, outcome)| *outcome == Promise::Acknowledged).unwrap();
    stored.remove(&id).unwrap();
    let report = check(&bench.journal(), stored);
    assert_eq!((counts(&report), report.lost.first), ([1, 0, 0, 0], vec![id]));
}

#[tokio::test]
async fn one_planted_double_is_found() {
    let bench = bench().await;
    let mut stored = bench.server.stored();
    let id = stored.keys().next().unwrap().clone();
    stored.insert(id.clone(), 2);
    let report = check(&bench.journal(), stored);
    assert_eq!((counts(&report), report.stored_twice.first), ([0, 1, 0, 0], vec![id]));
}

#[tokio::test]
async fn one_planted_event_that_was_refused_is_found() {
    let bench = bench().await;
    let journal = bench.journal();
    let (id, _) = journal.outcomes().find(|(_, outcome)| *outcome == Promise::Refused).unwrap();
    let stored = bench.server.stored().into_iter().chain([(id.clone(), 1)]);
    let report = check(&journal, stored);
    assert_eq!((counts(&report), report.refused_but_stored.first), ([0, 0, 1, 0], vec![id]));
}

#[tokio::test]
async fn one_planted_event_that_was_never_sent_is_found() {
    let bench = bench().await;
    let id = format!("{}0000-00ffffff", bench.journal().id_prefix());
    let stored = bench.server.stored().into_iter().chain([(id.clone(), 1)]);
    let report = check(&bench.journal(), stored);
    assert_eq!((counts(&report), report.never_sent.first), ([0, 0, 0, 1], vec![id]));
}
