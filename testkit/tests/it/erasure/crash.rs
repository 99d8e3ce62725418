//! An eraser may die at any point, or be taken for dead.

use std::time::Duration;

use serde_json::json;
use service::clock::Clock;
use testkit::River;
use testkit::river::Customer;

use super::{ask, eraser, proved, rows_of, send, shown, without_eraser};
use crate::river::metered;

/// 30 events of ada, 20 of bob, and an erasure of ada that is asked for.
async fn asked() -> (River, Customer, String) {
    let river = without_eraser().await;
    let acme = river.customer("acme", None).await;
    send(&river, &acme.key, "ada", 0..30).await;
    send(&river, &acme.key, "bob", 0..20).await;
    metered(&river, &acme, 50).await;
    let id = ask(&river, "acme", json!({"user_id": "ada"})).await;
    (river, acme, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eraser_that_dies_after_any_step_is_followed_by_one_that_ends_it() {
    for steps in 0..=4 {
        let (river, acme, id) = asked().await;
        {
            let dying = eraser(&river, Clock::system());
            let round = dying.begin().await.unwrap().unwrap();
            if steps >= 1 {
                dying.note(&round).await.unwrap();
            }
            if steps >= 2 {
                assert!(dying.count(&round).await.unwrap());
                let verdict = proved(&river).await;
                assert_eq!(
                    (verdict.rows, verdict.erased, verdict.erasing),
                    (20, 30, true),
                    "counted, not deleted"
                );
            }
            if steps >= 3 {
                dying.delete(&round).await.unwrap();
                let verdict = proved(&river).await;
                assert_eq!(
                    (verdict.rows, verdict.erased, verdict.erasing),
                    (20, 30, true),
                    "deleted, not ended"
                );
            }
            if steps >= 4 {
                dying.end(&round).await.unwrap();
            }
        }
        // Whatever comes meanwhile is none of its business, and another erasure goes with it.
        send(&river, &acme.key, "ada", 100..103).await;
        send(&river, &acme.key, "eve", 0..4).await;
        metered(&river, &acme, 57).await;
        let second = ask(&river, "acme", json!({"user_id": "eve"})).await;
        proved(&river).await;
        eraser(&river, Clock::system()).turn().await.unwrap();
        for (erasure, events) in [(id, 30), (second, 4)] {
            let erasure = shown(&river, "acme", &erasure).await;
            assert_eq!((&erasure["state"], &erasure["events"]), (&json!("done"), &json!(events)), "{steps}");
        }
        assert_eq!(rows_of(&river, &acme, "ada").await, 3, "{steps}");
        let verdict = proved(&river).await;
        assert_eq!((verdict.stored, verdict.rows, verdict.erased), (57, 23, 34), "{steps}");
        river.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eraser_that_is_cut_off_in_the_midst_of_anything_loses_and_doubles_nothing() {
    let (river, _, id) = asked().await;
    // Each is given a little longer, so that the cuts fall on everything in turn.
    for cut in 1..400 {
        let eraser = eraser(&river, Clock::system());
        let turn = tokio::time::timeout(Duration::from_millis(cut * 4), eraser.turn()).await;
        proved(&river).await;
        // A statement that was cut off may still be under way: then the deletion waits for it.
        if turn.is_ok_and(|turned| turned.is_ok()) && shown(&river, "acme", &id).await["state"] == "done" {
            assert!(cut > 1, "it was never cut off");
            break;
        }
    }
    let verdict = proved(&river).await;
    assert_eq!((verdict.stored, verdict.rows, verdict.erased, verdict.erasing), (50, 20, 30, false));
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_eraser_that_was_taken_for_dead_counts_nothing_again() {
    let (river, acme, _) = asked().await;
    let slow = eraser(&river, Clock::system());
    let stale = slow.begin().await.unwrap().unwrap();
    slow.note(&stale).await.unwrap();
    eraser(&river, Clock::system()).turn().await.unwrap();
    assert!(!slow.count(&stale).await.unwrap(), "another has begun a newer round");
    let verdict = proved(&river).await;
    assert_eq!((verdict.rows, verdict.erased), (20, 30));
    assert_eq!(rows_of(&river, &acme, "ada").await, 0);
    // The same for one that had counted before, and deletes once more.
    let id = ask(&river, "acme", json!({"user_id": "bob"})).await;
    let counted = slow.begin().await.unwrap().unwrap();
    assert!(slow.count(&counted).await.unwrap());
    eraser(&river, Clock::system()).turn().await.unwrap();
    send(&river, &acme.key, "bob", 50..60).await;
    metered(&river, &acme, 60).await;
    slow.delete(&counted).await.unwrap();
    slow.end(&counted).await.unwrap();
    assert_eq!(shown(&river, "acme", &id).await["events"], 20);
    assert_eq!(proved(&river).await.rows, 10);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_counted_before_all_that_was_accepted_is_processed() {
    let (river, acme, id) = asked().await;
    let eraser = eraser(&river, Clock::system());
    let (stores, log) = river.stop().await;
    // Accepted, but not processed: this river has no processor.
    let without = testkit::river::RiverConfig { processors: 0, ..Default::default() };
    let river = River::start_on(stores, log, without).await;
    send(&river, &acme.key, "ada", 30..35).await;
    eraser.turn().await.unwrap();
    assert_eq!(shown(&river, "acme", &id).await["state"], "requested");
    assert_eq!(rows_of(&river, &acme, "ada").await, 30);
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, Default::default()).await;
    assert_eq!(super::done(&river, "acme", &id).await["events"], 35);
    metered(&river, &acme, 55).await;
    assert_eq!(proved(&river).await.rows, 20);
    river.stop().await;
}
