//! Jobs are made with what wants them, done once by one of many, and bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobs::kind::run;
use jobs::{Ended, JobState, Kind, NewJob, Timing, insert};
use testkit::eventually;

use crate::shop::{Shop, WAIT, counting, kind};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_there_if_the_transaction_that_wanted_it_committed() {
    let (shop, done) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    let new = NewJob { kind: "a", payload: &(), not_before: None, key: None };
    let mut tx = shop.pool.begin().await.unwrap();
    insert(&mut tx, new).await.unwrap().unwrap();
    tx.rollback().await.unwrap();
    let worker = shop.start(vec![kind("a", counting(&done))], vec![]);
    shop.insert("a").await;
    shop.until_none_is_open().await;
    worker.stop().await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_wakes_workers_which_look_seldom() {
    let (shop, done) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    let seldom = Timing { look_every: Duration::from_secs(3_600), ..Timing::default() };
    let worker = shop.start_with(vec![kind("a", counting(&done))], vec![], seldom);
    shop.insert("a").await;
    eventually("the first is done", WAIT, async || done.load(Ordering::SeqCst) == 1).await;
    // Its listener is there by now.
    let begun = Instant::now();
    shop.insert("a").await;
    eventually("the second is done", WAIT, async || done.load(Ordering::SeqCst) == 2).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_jobs_are_done_once_each_by_many_workers() {
    const JOBS: usize = 300;
    let shop = Shop::fresh().await;
    for _ in 0..JOBS {
        shop.insert("book").await;
    }
    let workers =
        ["one", "two", "three"].map(|name| shop.start(vec![kind("book", shop.booking(name))], vec![]));
    shop.until_none_is_open().await;
    for worker in workers {
        worker.stop().await;
    }
    let count = i64::try_from(JOBS).unwrap();
    assert_eq!(shop.number("SELECT count(*) FROM effect").await, count);
    assert_eq!(shop.number("SELECT count(DISTINCT job) FROM effect").await, count);
    assert!(shop.number("SELECT count(DISTINCT by_whom) FROM effect").await > 1, "one worker did all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_has_its_bound_and_does_not_hold_up_another() {
    let (shop, done) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let slow = run({
        let most = Arc::clone(&most);
        move |_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(200)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Ended::DONE)
            }
        }
    });
    for _ in 0..10 {
        shop.insert("slow").await;
    }
    let kinds = vec![Kind { concurrency: 2, ..kind("slow", slow) }, kind("quick", counting(&done))];
    let worker = shop.start(kinds, vec![]);
    shop.insert("quick").await;
    eventually("the quick one is done", WAIT, async || done.load(Ordering::SeqCst) == 1).await;
    assert!(shop.all().await.len() > 4, "it waited for the slow ones");
    shop.until_none_is_open().await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_key_one_job_is_open_and_a_dead_one_does_not_count() {
    let shop = Shop::fresh().await;
    let keyed = |key| NewJob { kind: "a", payload: &(), not_before: None, key: Some(key) };
    let mut connection = shop.pool.acquire().await.unwrap();
    let first = insert(&mut connection, keyed("k")).await.unwrap();
    assert!(first.is_some());
    assert!(insert(&mut connection, keyed("k")).await.unwrap().is_none());
    assert!(insert(&mut connection, keyed("l")).await.unwrap().is_some());
    shop.forge("UPDATE job SET dead_at = now() WHERE key = 'k'").await;
    assert!(insert(&mut connection, keyed("k")).await.unwrap().is_some());
    assert_eq!(shop.of_state(JobState::Dead).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_waits_for_its_time_and_for_a_node_that_knows_its_kind() {
    let (shop, done) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    shop.insert("other").await;
    let mut connection = shop.pool.acquire().await.unwrap();
    let later: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT now() + interval '1 hour'").fetch_one(&mut *connection).await.unwrap();
    let new = NewJob { kind: "a", payload: &(), not_before: Some(later), key: None };
    insert(&mut connection, new).await.unwrap();
    let kinds = vec![kind("a", counting(&done)), Kind { concurrency: 0, ..kind("other", counting(&done)) }];
    let worker = shop.start(kinds, vec![]);
    shop.insert("a").await;
    eventually("the one that is due is done", WAIT, async || shop.all().await.len() == 2).await;
    shop.forge("UPDATE job SET due_at = now() WHERE kind = 'a'").await;
    eventually("its time has come", WAIT, async || shop.all().await.len() == 1).await;
    assert_eq!(done.load(Ordering::SeqCst), 2);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_holds_64_kib_and_not_one_byte_more() {
    let shop = Shop::fresh().await;
    let mut connection = shop.pool.acquire().await.unwrap();
    // As JSON it has two more, its quotes.
    for (bytes, fits) in [(65_534, true), (65_535, false)] {
        let new = NewJob { kind: "a", payload: &"x".repeat(bytes), not_before: None, key: None };
        assert_eq!(insert(&mut connection, new).await.is_ok(), fits, "{bytes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_reads_an_index_and_no_more_rows_than_it_takes() {
    let shop = Shop::fresh().await;
    shop.forge(
        "INSERT INTO job (kind, payload, due_at)
         SELECT 'k' || n % 10, '{}', now() - interval '1 second' * n FROM generate_series(1, 20000) AS n",
    )
    .await;
    shop.forge("ANALYZE job").await;
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT j.id FROM unnest(ARRAY['k1', 'k2'], ARRAY[4, 4]::bigint[]) AS wanted (kind, room)
         CROSS JOIN LATERAL (SELECT id FROM job WHERE kind = wanted.kind AND dead_at IS NULL AND due_at <= now()
             ORDER BY due_at LIMIT wanted.room FOR UPDATE SKIP LOCKED) AS j",
    )
    .fetch_all(&shop.database.pool)
    .await
    .unwrap();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Scan using job_due") && !plan.contains("Seq Scan on job"), "{plan}");
    assert!(!plan.contains("Sort"), "{plan}");
}
