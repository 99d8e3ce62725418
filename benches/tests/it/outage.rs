//! The generator outlives servers, and its journal outlives the generator.

use std::time::Duration;

use benches::load::journal::{Promise, check};
use benches::load::{LoadOptions, run, run_until};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::server::{Answer, Server};
use crate::{Bench, KEY};

#[tokio::test]
async fn a_server_that_hangs_up_on_everyone_and_comes_back_gets_every_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| {
        options.urls = vec![format!("http://{}", listener.local_addr().unwrap())];
        options.retry = true;
    });
    let dying_server = async {
        for _ in 0..3 {
            drop(listener.accept().await.unwrap());
        }
        Server::serve(listener, |_| Answer::Accept)
    };
    let (report, server) = tokio::join!(bench.run(), dying_server);
    assert_eq!((report.events_accepted, report.events_left), (20, 0));
    assert_eq!(bench.counts(), (20, 0, 0));
    assert!(check(&bench.journal(), server.stored()).holds());
}

#[tokio::test]
async fn a_batch_that_one_server_leaves_open_goes_to_the_other() {
    let silent = Server::start(|_| Answer::Unsure { stored: false }).await;
    let bench = Bench::new(|_| Answer::Accept).await.with(|options| {
        options.urls.insert(0, silent.url().to_owned());
        (options.retry, options.grace) = (true, Duration::from_secs(5));
    });
    bench.run().await;
    assert_eq!((silent.received().len(), bench.server.received().len()), (4, 4));
    assert_eq!(bench.counts(), (20, 0, 0));
}

#[tokio::test]
async fn a_connection_that_the_server_closes_after_a_reply_leaves_nothing_unknown() {
    let bench = Bench::new(|_| Answer::AcceptAndClose).await;
    let report = bench.run().await;
    assert_eq!((report.connections_opened, report.connections_failed), (4, 0));
    assert_eq!(bench.counts(), (20, 0, 0));
}

#[tokio::test]
async fn a_generator_that_dies_in_mid_request_leaves_that_request_unknown() {
    static THIRD: Notify = Notify::const_new();
    let bench = Bench::new(|number| {
        if number < 2 {
            return Answer::Accept;
        }
        THIRD.notify_one();
        Answer::Silence { stored: true }
    })
    .await;
    tokio::select! {
        _ = run(bench.options.clone()) => panic!("the third request is never answered"),
        () = THIRD.notified() => {}
    }
    assert_eq!(bench.counts(), (10, 0, 5));
    assert!(check(&bench.journal(), bench.server.stored()).holds());
}

#[tokio::test]
async fn a_stop_ends_the_run_with_its_report() {
    static FIRST: Notify = Notify::const_new();
    let bench = Bench::new(|_| {
        FIRST.notify_one();
        Answer::Accept
    })
    .await
    .with(|options| {
        options.events = None;
        options.duration = Some(Duration::from_secs(3_600));
    });
    let report = run_until(bench.options.clone(), FIRST.notified()).await.unwrap();
    assert!(report.requests >= 1);
    assert_eq!(bench.count(Promise::Acknowledged) as u64, report.events_accepted);
}

#[tokio::test]
async fn a_run_that_nobody_answers_is_an_error_that_names_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = LoadOptions {
        events: Some(1),
        grace: Duration::ZERO,
        ..LoadOptions::to(format!("http://{address}"), KEY)
    };
    let error = run(options).await.unwrap_err().to_string();
    assert!(error.contains(&address), "{error}");
}
