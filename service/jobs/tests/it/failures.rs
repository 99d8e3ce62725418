//! What fails is tried again, for a while, and an operator sees what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jobs::kind::run;
use jobs::{Ended, Failure, JobState, Kind, Timing, discard, find, retry, retry_key, sweep_dead};
use testkit::eventually;
use tokio::sync::Notify;

use crate::shop::{Shop, WAIT, counting, kind, quick};

fn failing(count: &Arc<AtomicUsize>) -> jobs::kind::Run {
    let count = Arc::clone(count);
    run(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Err(Failure::Retry(format!("failure {n}").into())) }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_is_tried_again_later_and_is_dead_after_its_last_attempt() {
    let (shop, tried) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    let id = shop.insert("a").await;
    let worker = shop.start(vec![kind("a", failing(&tried))], vec![]);
    eventually("it failed once", WAIT, async || shop.all().await[0].last_error.is_some()).await;
    let waits = shop.number("SELECT (extract(epoch FROM due_at - now()) * 1000)::bigint FROM job").await;
    assert!((300..=2_000).contains(&waits), "{waits} ms after the first failure");
    eventually("it is dead", WAIT, async || shop.of_state(JobState::Dead).await.len() == 1).await;
    assert_eq!(tried.load(Ordering::SeqCst), 3);
    let mut connection = shop.pool.acquire().await.unwrap();
    let seen = find(&mut connection, id).await.unwrap().unwrap();
    assert_eq!((seen.attempt, seen.last_error.as_deref()), (3, Some("failure 3")));

    assert!(retry(&mut connection, id).await.unwrap());
    eventually("it is tried again", WAIT, async || tried.load(Ordering::SeqCst) > 3).await;
    eventually("it waits", WAIT, async || shop.of_state(JobState::Waiting).await.len() == 1).await;
    worker.stop().await;
    assert_eq!(discard(&mut connection, id).await.unwrap().unwrap().id, id);
    assert!(discard(&mut connection, id).await.unwrap().is_none() && shop.all().await.is_empty());
    assert!(!retry(&mut connection, id).await.unwrap(), "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_done_is_dead_at_once_and_swept_when_it_is_old() {
    let shop = Shop::fresh().await;
    shop.insert("a").await;
    let never = run(|job| async move { job.read::<Vec<u8>>().map(|_| Ended::DONE) });
    let worker = shop.start(vec![kind("a", never)], vec![]);
    eventually("it is dead", WAIT, async || shop.of_state(JobState::Dead).await.len() == 1).await;
    worker.stop().await;
    let job = shop.all().await.remove(0);
    assert_eq!(job.attempt, 1);
    assert!(job.last_error.unwrap().contains("invalid type: null"));
    let mut connection = shop.pool.acquire().await.unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(sweep_dead(&mut connection, day, 100).await.unwrap(), 0);
    shop.forge("UPDATE job SET dead_at = now() - interval '1 day 1 second'").await;
    assert_eq!(sweep_dead(&mut connection, day, 100).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_at_its_deadline_and_one_that_is_put_off_counts_no_attempt() {
    let (shop, asked) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    shop.insert("hangs").await;
    shop.insert("early").await;
    let early = {
        let asked = Arc::clone(&asked);
        run(move |_| {
            let first = asked.fetch_add(1, Ordering::SeqCst) < 5;
            async move { if first { Err(Failure::Later(Duration::from_millis(20))) } else { Ok(Ended::DONE) } }
        })
    };
    let hangs = run(|_| std::future::pending());
    let kinds = vec![
        Kind { deadline: Duration::from_millis(100), attempts_max: 1, ..kind("hangs", hangs) },
        kind("early", early),
    ];
    let worker = shop.start(kinds, vec![]);
    eventually("one is left", WAIT, async || {
        let all = shop.all().await;
        all.len() == 1 && all[0].state == JobState::Dead
    })
    .await;
    assert_eq!(shop.all().await[0].last_error.as_deref(), Some("it did not end within 0.1 s"));
    assert_eq!(asked.load(Ordering::SeqCst), 6);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_outlives_a_run_that_is_longer_than_its_lease_and_the_loss_of_every_connection() {
    let (shop, begun) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    shop.insert("long").await;
    let long = {
        let begun = Arc::clone(&begun);
        run(move |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            async {
                // Longer than the lease, which is renewed.
                tokio::time::sleep(Duration::from_millis(3_500)).await;
                Ok(Ended::DONE)
            }
        })
    };
    let workers = [(); 2].map(|()| shop.start(vec![kind("long", Arc::clone(&long))], vec![]));
    eventually("it runs", WAIT, async || begun.load(Ordering::SeqCst) == 1).await;
    let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(shop.number(others).await > 2);
    shop.until_none_is_open().await;
    assert_eq!(begun.load(Ordering::SeqCst), 1, "its claim was lost");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_gives_its_jobs_back_at_once() {
    let (shop, done) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    shop.insert("a").await;
    let worker = shop.start(vec![kind("a", run(|_| std::future::pending()))], vec![]);
    eventually("it runs", WAIT, async || !shop.of_state(JobState::Running).await.is_empty()).await;
    worker.stop().await;
    let given_back = shop.of_state(JobState::Waiting).await;
    assert_eq!((given_back.len(), given_back[0].attempt), (1, 0));
    let worker = shop.start(vec![kind("a", counting(&done))], vec![]);
    shop.until_none_is_open().await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_process_again_and_again_is_dead_in_the_end() {
    let (shop, tried) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    shop.insert("a").await;
    shop.forge("UPDATE job SET attempt = 3, claim = gen_random_uuid(), key = 'k'").await;
    let worker = shop.start(vec![kind("a", counting(&tried))], vec![]);
    eventually("it is dead", WAIT, async || shop.of_state(JobState::Dead).await.len() == 1).await;
    assert_eq!(tried.load(Ordering::SeqCst), 0);
    let mut connection = shop.pool.acquire().await.unwrap();
    assert!(retry_key(&mut connection, "a", "k").await.unwrap().is_some());
    shop.until_none_is_open().await;
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    assert!(retry_key(&mut connection, "a", "k").await.unwrap().is_none());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_was_lost_ends_nothing() {
    let shop = Shop::fresh().await;
    shop.insert("a").await;
    let (reached, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let book = shop.booking("late");
    let late = {
        let (reached, go_on) = (Arc::clone(&reached), Arc::clone(&go_on));
        run(move |job| {
            let (reached, go_on, rest) = (Arc::clone(&reached), Arc::clone(&go_on), book(job));
            async move {
                reached.notify_one();
                go_on.notified().await;
                rest.await
            }
        })
    };
    let calm = Timing { lease: Duration::from_secs(60), ..quick() };
    let worker = shop.start_with(vec![kind("a", late)], vec![], calm);
    reached.notified().await;
    // As if its lease had ended, and another worker had claimed the job.
    shop.forge("UPDATE job SET claim = gen_random_uuid()").await;
    go_on.notify_one();
    worker.stop().await;
    assert_eq!(shop.number("SELECT count(*) FROM effect").await, 0);
    assert_eq!(shop.of_state(JobState::Running).await.len(), 1, "it is the other worker's");
}
