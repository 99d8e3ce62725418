//! A replay appends a letter's events to the log again, where they are judged like all others.

use std::sync::Arc;
use std::time::Duration;

use eventlog::local::{LocalConfig, LocalLog};
use schemas::frame::Envelope;
use schemas::id::LeaseId;
use schemas::time::Micros;
use serde_json::json;
use testkit::Stores;

use super::*;
use crate::repair::repaired;

const NONE: LeaseId = LeaseId::NONE;
const ASKED: &str = "SELECT count(*) FROM dead_letter WHERE state = 'asked'";

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_many_events_is_stored_once_and_its_ids_are_known_from_then_on() {
    let scene = Scene::start(RiverConfig { processors: 2, ..one_partition() }, None).await;
    let letter = scene.frame(NONE, &["m0", "m1", "m2", "m0"]);
    scene.append_letter(&scene.frame(NONE, &["a0", "a1"]), &letter, &scene.frame(NONE, &["b0", "b1"])).await;
    // A client that sent one of them once more, and had it stored.
    scene.post(&["m1"]).await;
    scene.counted(5, 0).await;
    scene.proved("before").await;
    let replayed = scene.replay().await;
    assert_eq!((replayed.state, replayed.copies, replayed.bytes), (LetterState::Replayed, 4, 0));
    scene.counted(7, 2).await;
    scene.proved("after").await;
    assert_eq!(scene.ask().await, 0, "it is not dead any more");
    assert_eq!(
        scene.number("SELECT sum(dead)::bigint FROM batch_ledger").await,
        1,
        "it stays where it stood"
    );
    assert_eq!(scene.spent().await, 7);
    scene.post(&["m0", "m2", "a1"]).await;
    scene.counted(7, 5).await;
    let scene = scene.again(one_partition()).await;
    scene.post(&["m0", "m2", "new"]).await;
    scene.counted(8, 7).await;
    // Should it be replayed a second time after all, nothing is stored or charged.
    sqlx::query("UPDATE dead_letter SET state = 'dead', replayed_at = NULL, raw = $1")
        .bind(&letter)
        .execute(&scene.river.stores.pool)
        .await
        .unwrap();
    assert_eq!(scene.replay().await.copies, 4);
    scene.counted(8, 11).await;
    assert_eq!(scene.spent().await, 8);
    scene.proved("at last").await;
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_frame_counts_against_its_period_and_may_pass_the_cap_that_stops_all_else() {
    let scene = Scene::start(one_partition(), Some(5)).await;
    scene.post(&["x"]).await;
    scene.counted(1, 0).await;
    let lease = LeaseId(scene.number("SELECT min(id) FROM quota_lease").await);
    let whole = scene.frame(lease, &["h0", "h1", "h2"]);
    let half = scene.frame(lease, &["h0"]).len() + 9;
    // So much was charged when it was accepted.
    for charge in
        ["UPDATE quota_lease SET granted = granted + 3", "UPDATE quota_period SET granted = granted + 3"]
    {
        sqlx::query(charge).execute(&scene.river.stores.pool).await.unwrap();
    }
    scene.append(whole.get(..half).unwrap(), 0).await;
    scene.counted(2, 0).await;
    assert_eq!((scene.letters().await[0].events, scene.spent().await), (2, 2));
    // What was given back is taken by others.
    scene.post(&["y0", "y1", "y2"]).await;
    scene.counted(5, 0).await;
    scene.mend(&whole).await;
    assert_eq!(scene.replay().await.copies, 2);
    scene.counted(7, 0).await;
    assert_eq!(scene.spent().await, 7);
    let refused = scene.river.client(&scene.acme.key).post_ids(["z"]).await;
    assert_eq!(refused.status, 402, "{refused:?}");
    scene.proved("after").await;
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_whose_lease_nobody_could_read_count_whether_it_is_settled_or_not() {
    let scene = Scene::start(one_partition(), Some(1_000)).await;
    scene.post(&["x"]).await;
    scene.counted(1, 0).await;
    let open = LeaseId(scene.number("SELECT min(id) FROM quota_lease").await);
    for (lease, ids, stored) in [(open, ["o0", "o1"], 3), (LeaseId(999_999), ["s0", "s1"], 5)] {
        scene.append_letter(&[], &scene.frame(lease, &ids), &[]).await;
        assert_eq!(scene.spent().await, stored - 2);
        scene.replay().await;
        scene.counted(stored, 0).await;
        assert_eq!(scene.spent().await, stored);
    }
    scene.proved("after").await;
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_t_be_replayed_goes_back_to_the_dead_with_what_is_wrong_now() {
    let scene = Scene::start(one_partition(), None).await;
    scene.append(b"junk", 0).await;
    scene.until("SELECT count(*) FROM dead_letter", 1).await;
    let good = scene.frame(NONE, &["z"]);
    let received = |days: i64, minutes: i64| {
        let now = scene.envelope(NONE);
        let received_at = Micros(now.received_at.0 - days * Micros::DAY + minutes * 60 * Micros::SECOND);
        Envelope { received_at, period_start: received_at.seconds(), ..now }
    };
    let other = Envelope { project: ProjectId(999), ..scene.envelope(NONE) };
    let mut forged = frame(&other, &["z"]);
    forged[12..20].copy_from_slice(&scene.project.0.to_le_bytes());
    for (raw, reason) in [
        (b"junk".to_vec(), "frame version 106 is not known"),
        (good.get(..good.len() - 1).unwrap().to_vec(), "the frame is cut short"),
        (forged, "the hash of an event in the frame is not that of its id and partition"),
        (frame(&scene.envelope(NONE), &[]), "it holds no event, or none that was not erased since"),
        (frame(&received(7, 0), &["z"]), "ids are known for 7 days: nobody can say any more"),
    ] {
        scene.mend(&raw).await;
        let letter = scene.replay().await;
        assert!(letter.state == LetterState::Dead && letter.reason.contains(reason), "{letter:?}");
        scene.proved(reason).await;
    }
    // A few minutes younger, it counts in the period and hour of its receipt.
    let young = received(7, 5);
    scene.mend(&frame(&young, &["z"])).await;
    assert_eq!(scene.replay().await.state, LetterState::Replayed);
    scene.counted(1, 0).await;
    let hour: i64 =
        scene.number("SELECT extract(epoch FROM max(hour))::bigint FROM usage_hour WHERE stored > 0").await;
    assert_eq!(hour, young.received_at.hour().seconds());
    scene.append(b"junk", 0).await;
    scene.until("SELECT count(*) FROM dead_letter", 2).await;
    let which = Which { reason: Some("version 106".to_owned()), ..Which::default() };
    assert_eq!(decide(&scene.river.stores, Decision::Discard, &which).await.unwrap(), 1);
    assert_eq!(scene.ask().await, 0);
    let discarded = scene.letters().await.pop().unwrap();
    assert_eq!((discarded.state, discarded.bytes), (LetterState::Discarded, 0));
    scene.proved("discarded").await;
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_dies_after_it_has_appended_appends_again_and_stores_once() {
    let scene = Scene::start(one_partition(), Some(1_000)).await;
    scene.append_letter(&[], &scene.frame(NONE, &["m0", "m1"]), &[]).await;
    let pool = &scene.river.stores.pool;
    for statement in [
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'lost'; END $$",
        "CREATE TRIGGER fail BEFORE UPDATE ON dead_letter FOR EACH ROW
         WHEN (NEW.state = 'replayed') EXECUTE FUNCTION fail()",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    assert_eq!(scene.ask().await, 1);
    scene.counted(2, 0).await;
    assert_eq!(scene.number(ASKED).await, 1);
    // Nobody else takes it for as long as the first may still be at it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.counted(2, 0).await;
    sqlx::query("DROP TRIGGER fail ON dead_letter").execute(pool).await.unwrap();
    sqlx::query("UPDATE dead_letter SET claimed_until = now()").execute(pool).await.unwrap();
    scene.until(ASKED, 0).await;
    scene.counted(2, 2).await;
    assert_eq!((scene.letters().await[0].state, scene.spent().await), (LetterState::Replayed, 2));
    scene.proved("after").await;
    scene.river.stop().await;
}

async fn erase(scene: &Scene, user: &str) {
    let body = json!({"user_id": user}).to_string();
    let reply = scene.river.operator().post_json("/v1/tenants/acme/erasures", body).await;
    assert_eq!(reply.status, 201, "{reply:?}");
}

const ERASURES_OPEN: &str = "SELECT count(*) FROM erasure WHERE state <> 'done'";

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_brings_nothing_back_that_was_erased() {
    let scene = Scene::start(one_partition(), None).await;
    scene.append_letter(&[], &scene.frame(NONE, &["ada", "bob", "abe"]), &[]).await;
    erase(&scene, "a").await;
    scene.until(ERASURES_OPEN, 0).await;
    assert_eq!(scene.replay().await.copies, 1);
    scene.counted(1, 0).await;
    // Nothing is left of this one.
    let letter = scene.frame(NONE, &["bea"]);
    scene.append_letter(&[], &letter, &[]).await;
    erase(&scene, "b").await;
    scene.until(ERASURES_OPEN, 0).await;
    let refused = scene.replay().await;
    assert!(refused.state == LetterState::Dead && refused.reason.contains("erased since"), "{refused:?}");
    assert_eq!(scene.river.stores.clickhouse_number("SELECT count() FROM events").await, 0);
    scene.counted(1, 0).await;
    scene.proved("after").await;
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_copies_on_their_way_and_then_covers_them() {
    let scene = Scene::start(one_partition(), None).await;
    let letter = scene.frame(NONE, &["cid"]);
    scene.append_letter(&[], &letter, &[]).await;
    let pool = &scene.river.stores.pool;
    // A process that has claimed it, and looked for erasures.
    let claim = "UPDATE dead_letter
        SET state = 'asked', replay_asked_at = now(), claimed_until = now() + interval '1 hour'";
    sqlx::query(claim).execute(pool).await.unwrap();
    erase(&scene, "c").await;
    // Nothing is to happen: time for three looks at what is asked for.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.number("SELECT count(*) FROM erasure WHERE ends IS NULL").await, 1);
    scene.append(&letter, 0).await;
    scene.counted(1, 0).await;
    sqlx::query("UPDATE dead_letter SET claimed_until = now()").execute(pool).await.unwrap();
    scene.until(ERASURES_OPEN, 0).await;
    scene.until(ASKED, 0).await;
    assert!(scene.letters().await[0].reason.contains("erased since"));
    assert_eq!(scene.river.stores.clickhouse_number("SELECT count() FROM events").await, 0);
    scene.proved("after").await;
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_whom_a_letter_may_bring_back_is_kept_though_the_log_has_nothing_of_it_left() {
    let stores = Stores::fresh().await;
    let mut local = LocalConfig::new(stores.folder.path().join("log"), 1);
    (local.segment_bytes_max, local.retention) = (1, Duration::ZERO);
    let log = Arc::new(LocalLog::open(local).unwrap());
    let scene = Scene::of(River::start_on(stores, log, one_partition()).await, None).await;
    scene.append_letter(&[], &scene.frame(NONE, &["dan"]), &[]).await;
    erase(&scene, "d").await;
    scene.until(ERASURES_OPEN, 0).await;
    scene.post(&["x"]).await;
    scene.counted(1, 0).await;
    scene.river.log.trim(0, 1).await.unwrap();
    let hashes = "SELECT count(*) FROM erasure WHERE subject_hash IS NOT NULL";
    let eraser = crate::erasure::eraser(&scene.river, Clock::system());
    eraser.tidy().await.unwrap();
    assert_eq!(scene.number(hashes).await, 1);
    assert!(scene.replay().await.reason.contains("erased since"));
    assert_eq!(decide(&scene.river.stores, Decision::Discard, &Which::default()).await.unwrap(), 1);
    eraser.tidy().await.unwrap();
    assert_eq!(scene.number(hashes).await, 0);
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_a_letter_stays_one_in_the_proof_though_the_log_can_be_read_by_now() {
    let scene = Scene::after_an_older_weir(&["e0", "e1", "e0"]).await;
    scene.proved("readable, but not replayed").await;
    scene.replay().await;
    scene.counted(2, 1).await;
    scene.proved("replayed").await;
    scene.river.stores.clickhouse().query("TRUNCATE TABLE events").execute().await.unwrap();
    let done = repaired(&scene.river).await.done;
    assert_eq!((done.inserted, done.removed, done.failed), (2, 0, 0), "{done:?}");
    scene.river.stop().await;
}
