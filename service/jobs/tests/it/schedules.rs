//! A schedule fires once, however many nodes there are and however long none was there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jobs::Schedule;
use testkit::eventually;

use crate::shop::{Shop, WAIT, counting, kind};

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_fire_once_and_once_after_three_days_without_any() {
    let (shop, done) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    let daily = Schedule::daily("sweep", 3, 10);
    let nodes = || [(); 3].map(|()| shop.start(vec![kind("sweep", counting(&done))], vec![daily]));
    let first = nodes();
    eventually("it is known", WAIT, async || shop.number("SELECT count(*) FROM job_schedule").await == 1)
        .await;
    let at = "SELECT (extract(epoch FROM due_at)::bigint - 11400) % 86400 FROM job_schedule";
    assert_eq!(shop.number(at).await, 0, "it comes at 03:10 UTC");
    let ahead = "SELECT extract(epoch FROM due_at - now())::bigint FROM job_schedule";
    assert!((0..=86_400).contains(&shop.number(ahead).await));
    assert_eq!(done.load(Ordering::SeqCst), 0, "it was not due");
    shop.forge("UPDATE job_schedule SET due_at = now()").await;
    eventually("it is done", WAIT, async || done.load(Ordering::SeqCst) == 1).await;
    for node in first {
        node.stop().await;
    }
    shop.forge("UPDATE job_schedule SET due_at = now() - interval '3 days'").await;
    let second = nodes();
    eventually("it is done again", WAIT, async || done.load(Ordering::SeqCst) == 2).await;
    assert!((0..=86_400).contains(&shop.number(ahead).await));
    for node in second {
        node.stop().await;
    }
    assert_eq!(done.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_time_of_a_schedule_is_fired_once_by_ten_nodes() {
    let (shop, done) = (Shop::fresh().await, Arc::new(AtomicUsize::new(0)));
    let second = Schedule { name: "tick", every: Duration::from_secs(1), at: Duration::ZERO };
    let begun = Instant::now();
    let nodes = [(); 10].map(|()| shop.start(vec![kind("tick", counting(&done))], vec![second]));
    eventually("five have come", WAIT, async || done.load(Ordering::SeqCst) >= 5).await;
    for node in nodes {
        node.stop().await;
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!(done.load(Ordering::SeqCst) <= seconds + 1, "{done:?} in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_whose_last_job_still_runs_makes_no_second_one() {
    let shop = Shop::fresh().await;
    let daily = Schedule::daily("sweep", 0, 0);
    let hangs = jobs::kind::run(|_| std::future::pending());
    let node = shop.start(vec![kind("sweep", hangs)], vec![daily]);
    for _ in 0..2 {
        eventually("it is known", WAIT, async || shop.number("SELECT count(*) FROM job_schedule").await == 1)
            .await;
        shop.forge("UPDATE job_schedule SET due_at = now() - interval '1 second'").await;
        let due = "SELECT count(*) FROM job_schedule WHERE due_at < now()";
        eventually("it has fired", WAIT, async || shop.number(due).await == 0).await;
    }
    assert_eq!(shop.all().await.len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_not_due_announces_nothing() {
    let shop = Shop::fresh().await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&shop.database.pool).await.unwrap();
    listener.listen("weir_job").await.unwrap();
    let node =
        shop.start(vec![kind("sweep", counting(&Arc::default()))], vec![Schedule::daily("sweep", 0, 0)]);
    eventually("it is known", WAIT, async || shop.number("SELECT count(*) FROM job_schedule").await == 1)
        .await;
    let later = "UPDATE job_schedule SET due_at = now() + interval '1 hour'";
    shop.forge(later).await;
    // It looks each second.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    node.stop().await;
    shop.insert("sweep").await;
    shop.forge("NOTIFY weir_job, 'the end'").await;
    let mut heard = 0;
    while listener.recv().await.unwrap().payload() != "the end" {
        heard += 1;
    }
    assert_eq!(heard, 1, "of the job that was inserted");
}
