//! The journal states the truth, whatever the answer was.

use std::collections::BTreeSet;
use std::time::Duration;

use benches::load::journal::check;

use crate::Bench;
use crate::server::Answer;

#[tokio::test]
async fn what_is_accepted_is_acknowledged() {
    let bench = Bench::new(|_| Answer::Accept).await;
    let report = bench.run().await;
    assert_eq!((report.requests, report.events_accepted, report.events_left), (4, 20, 0));
    assert_eq!(bench.counts(), (20, 0, 0));
    let sent: BTreeSet<_> = bench.journal().outcomes().map(|(id, _)| id).collect();
    assert_eq!(sent, bench.server.stored().into_keys().collect());
}

#[tokio::test]
async fn a_503_is_unknown_until_a_retry_with_the_same_ids_is_acknowledged() {
    let bench =
        Bench::new(|number| if number == 1 { Answer::Unsure { stored: true } } else { Answer::Accept })
            .await
            .with(|options| options.retry = true);
    let report = bench.run().await;
    assert_eq!((report.requests, report.requests_retried, report.events_left), (5, 1, 0));
    assert_eq!(report.events_unknown["503-not_durable"], 5);
    assert_eq!(bench.counts(), (20, 0, 0));
    let received = bench.server.received();
    assert_eq!(received[1].ids, received[2].ids);
    assert!(check(&bench.journal(), bench.server.stored()).holds());
}

#[tokio::test]
async fn without_retries_a_503_stays_unknown_whether_stored_or_not() {
    for stored in [false, true] {
        let bench =
            Bench::new(move |number| if number == 1 { Answer::Unsure { stored } } else { Answer::Accept })
                .await;
        let report = bench.run().await;
        assert_eq!((report.requests, report.events_left), (4, 5));
        assert_eq!(bench.counts(), (15, 0, 5));
        let check = check(&bench.journal(), bench.server.stored());
        assert!(check.holds(), "{check}");
        assert_eq!(check.unknown_stored, if stored { 5 } else { 0 });
    }
}

#[tokio::test]
async fn a_202_that_is_cut_in_the_middle_promises_nothing() {
    for stored in [false, true] {
        let bench =
            Bench::new(move |number| if number == 2 { Answer::CutReply { stored } } else { Answer::Accept })
                .await;
        let report = bench.run().await;
        assert_eq!(report.events_unknown["connection"], 5);
        assert_eq!(report.connections_opened, 2);
        assert_eq!(bench.counts(), (15, 0, 5));
        assert!(check(&bench.journal(), bench.server.stored()).holds());
    }
}

#[tokio::test]
async fn what_a_cut_reply_left_open_is_sent_again() {
    let bench = Bench::new(|number| Answer::CutReply { stored: true }.or_accept_if(number % 2 == 1))
        .await
        .with(|options| options.retry = true);
    assert_eq!(bench.run().await.requests_retried, 4);
    assert_eq!(bench.counts(), (20, 0, 0));
}

#[tokio::test]
async fn a_reply_after_the_deadline_is_unknown() {
    let bench = Bench::new(|number| Answer::Silence { stored: true }.or_accept_if(number > 0))
        .await
        .with(|options| options.deadline = Duration::from_secs(1));
    let report = bench.run().await;
    assert_eq!(report.events_unknown["deadline"], 5);
    assert_eq!(bench.counts(), (15, 0, 5));
}

#[tokio::test]
async fn events_that_a_202_rejects_are_refused_and_their_neighbours_acknowledged() {
    let bench = Bench::new(|number| Answer::RejectSome(vec![0, 3]).or_accept_if(number != 1)).await;
    let report = bench.run().await;
    assert_eq!((report.events_accepted, report.events_refused["202 invalid_event"]), (18, 2));
    assert_eq!(bench.counts(), (18, 2, 0));
    assert!(check(&bench.journal(), bench.server.stored()).holds());
}

#[tokio::test]
async fn a_402_is_a_refusal_and_not_sent_again() {
    let bench = Bench::new(|number| Answer::Refuse(402, "quota_exceeded").or_accept_if(number < 2))
        .await
        .with(|options| options.retry = true);
    let report = bench.run().await;
    assert_eq!((report.requests, report.events_refused["402 quota_exceeded"]), (4, 10));
    assert_eq!((report.latency.count, report.refusal_latency.count), (2, 2));
    assert_eq!(bench.counts(), (10, 10, 0));
    assert!(check(&bench.journal(), bench.server.stored()).holds());
}

#[tokio::test]
async fn a_429_is_sent_again_and_then_acknowledged() {
    let bench = Bench::new(|number| Answer::Refuse(429, "rate_limited").or_accept_if(number > 0))
        .await
        .with(|options| options.retry = true);
    assert_eq!(bench.run().await.requests_retried, 1);
    assert_eq!(bench.counts(), (20, 0, 0));
}

impl Answer {
    /// Accepts instead, if so.
    fn or_accept_if(self, accept: bool) -> Self {
        if accept { Self::Accept } else { self }
    }
}
