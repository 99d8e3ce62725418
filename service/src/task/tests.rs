use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;

const PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
#[error("a store failed")]
struct Failed;

/// When rounds began, counted in seconds, of those that `round` reports.
async fn begun_within(
    seconds: u64,
    pace: Pace,
    mut round: impl AsyncFnMut(usize) -> Result<(), Failed>,
) -> Vec<u64> {
    let (trigger, shutdown) = Shutdown::new();
    let (from, mut begun) = (Instant::now(), Vec::new());
    let rounds = async {
        let mut rounds = every("test", pace, shutdown);
        while rounds.due().await {
            begun.push(from.elapsed().as_secs());
            rounds.attempt(round(begun.len())).await;
        }
    };
    let stop = async {
        sleep(Duration::from_secs(seconds)).await;
        trigger.order();
    };
    tokio::join!(rounds, stop);
    assert_eq!(from.elapsed().as_secs(), seconds, "it stops when it is ordered to");
    begun
}

#[tokio::test(start_paused = true)]
async fn rounds_come_at_once_or_after_a_period_and_then_every_period() {
    let at_once = begun_within(150, Pace::at_once(PERIOD), async |_| Ok(())).await;
    assert_eq!(at_once, [0, 60, 120]);
    let after = begun_within(150, Pace::after(PERIOD), async |_| Ok(())).await;
    assert_eq!(after, [60, 120]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_round_puts_off_the_next_one() {
    let begun = begun_within(300, Pace::at_once(PERIOD), async |round| {
        sleep(if round == 1 { PERIOD * 3 } else { Duration::ZERO }).await;
        Ok(())
    });
    assert_eq!(begun.await, [0, 240]);
}

#[tokio::test(start_paused = true)]
async fn an_error_or_a_panic_does_not_end_the_loop() {
    let begun = begun_within(150, Pace::at_once(PERIOD), async |round| match round {
        1 => Err(Failed),
        2 => panic!("round {round}"),
        _ => Ok(()),
    });
    assert_eq!(begun.await, [0, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn a_round_under_way_is_dropped_when_stopping() {
    let begun = begun_within(5, Pace::at_once(PERIOD), async |_| {
        sleep(Duration::from_secs(3600)).await;
        Ok(())
    });
    assert_eq!(begun.await, [0]);
}

#[tokio::test]
async fn a_task_that_ends_fails_or_breaks_before_the_order_to_stop_is_named_and_the_others_stop() {
    type Start = fn(&mut Tasks);
    let cases: [(Start, &str); 3] = [
        (|tasks| tasks.spawn("the sweeper", async {}), "the sweeper ended by itself"),
        (|tasks| tasks.try_spawn("the sweeper", async { Err(Failed) }), "the sweeper failed: a store failed"),
        (|tasks| tasks.spawn("the sweeper", async { panic!("it broke") }), "the sweeper broke: task "),
    ];
    for (start, message) in cases {
        let (_trigger, shutdown) = Shutdown::new();
        let (mut tasks, stopped) = (Tasks::default(), Arc::new(AtomicU32::new(0)));
        let (other, order) = (Arc::clone(&stopped), tasks.shutdown());
        tasks.spawn("another", async move {
            order.ordered().await;
            other.fetch_add(1, Ordering::Relaxed);
        });
        start(&mut tasks);
        let error = tasks.run(&shutdown).await.unwrap_err();
        let text = Chain(&error).to_string();
        assert!(text.starts_with(message), "{text}");
        assert_eq!(stopped.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn tasks_that_end_when_they_are_ordered_to_are_no_failure_but_an_error_then_is_one() {
    let (trigger, shutdown) = Shutdown::new();
    let (mut good, mut bad) = (Tasks::default(), Tasks::default());
    for tasks in [&mut good, &mut bad] {
        let order = tasks.shutdown();
        tasks.spawn("good", async move { order.ordered().await });
    }
    let order = bad.shutdown();
    bad.try_spawn("bad", async move {
        order.ordered().await;
        Err(Failed)
    });
    trigger.order();
    good.run(&shutdown).await.unwrap();
    assert_eq!(Chain(&bad.run(&shutdown).await.unwrap_err()).to_string(), "bad failed: a store failed");
}
