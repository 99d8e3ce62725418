//! What has expired is deleted, chains are anchored, and who wants no more mails gets none.

use accounts::audit::{self, Broken};
use accounts::outbox;
use accounts::suppression::{self, Suppressed};
use accounts::sweep::sweep;
use accounts::{PageRequest, Post, SealKey, project};
use chrono::TimeDelta;

use crate::house::{House, KEY, is_refused, secret};
use crate::place::Place;

const DAY: i64 = 86_400;

#[tokio::test]
async fn what_has_expired_is_deleted_and_the_rest_stays() {
    let house = House::fresh().await;
    house.person("ada@example.com", "Acme").await;
    house.login("ada@example.com").await;
    house.register("eve@example.com", "Evil").await;
    house
        .place
        .forge("UPDATE outbox SET sent_at = created_at, sealed_body = '' WHERE recipient LIKE 'ada%'")
        .await;
    let counts = async || {
        let mut counts = Vec::new();
        for query in [
            "SELECT count(*) FROM one_time_token",
            "SELECT count(*) FROM attempt",
            "SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL",
            "SELECT count(*) FROM outbox WHERE sent_at IS NULL",
            "SELECT count(*) FROM session",
            "SELECT count(*) FROM refresh_token",
        ] {
            counts.push(house.place.number(query).await);
        }
        counts
    };
    let before = counts().await;
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    sweep(&house.place.pool, &house.place.clock).await.unwrap();
    assert_eq!(counts().await, before, "nothing has expired");
    house.wait(5 * DAY);
    sweep(&house.place.pool, &house.place.clock).await.unwrap();
    let after = counts().await;
    assert_eq!(after[..2], [0, 0]);
    assert_eq!(after[2..], before[2..], "these are kept for longer");
    house.wait(130 * DAY);
    sweep(&house.place.pool, &house.place.clock).await.unwrap();
    assert_eq!(counts().await, [0; 6], "a mail goes whether or not it was sent");
}

#[tokio::test]
async fn a_chain_that_was_cut_off_or_written_again_behind_its_anchor_is_found() {
    for (forged, broken) in [
        (
            "WITH gone AS (DELETE FROM audit_entry WHERE chain > 0 AND seq > 2)
             UPDATE audit_head h SET seq = 2, hash = e.hash FROM audit_entry e
             WHERE h.chain > 0 AND e.chain = h.chain AND e.seq = 2",
            Broken::CutOff { seq: 3 },
        ),
        (
            // As if all of it had been computed again: the hashes agree with each other, and not with the anchor.
            "UPDATE audit_anchor SET hash = sha256('another') WHERE chain > 0",
            Broken::Changed { seq: 3 },
        ),
    ] {
        let place = Place::fresh().await;
        let acme = place.tenant("acme").await;
        for name in ["a", "b"] {
            let mut scope = place.scope(acme).await;
            project::create(&mut scope, name).await.unwrap();
            scope.commit().await.unwrap();
        }
        let verified = async || audit::verify(&mut place.scope(acme).await).await.unwrap();
        assert!(audit::anchor(&place.pool, &place.clock).await.unwrap() > 0);
        assert_eq!(audit::anchor(&place.pool, &place.clock).await.unwrap(), 0, "nothing was added");
        assert_eq!((verified().await.entries, verified().await.broken), (3, None));
        let change = sqlx::query("UPDATE audit_anchor SET seq = seq").execute(&place.pool).await;
        assert!(change.unwrap_err().to_string().contains("permission denied"));
        place.forge(forged).await;
        assert_eq!(verified().await.broken, Some(broken));
    }
}

#[tokio::test]
async fn a_link_ends_mails_that_nobody_needs_and_no_others() {
    let house = House::fresh().await;
    let (pool, clock) = (house.place.pool.clone(), house.place.clock.clone());
    let post = Post::new(pool.clone(), clock, SealKey::read(&secret(KEY)).unwrap());
    let token = post.unsubscribe_token("ada@example.com").unwrap();
    for wrong in ["", "e30", &token[1..], &format!("{token}AAAA")] {
        assert!(is_refused(&house.auth.unsubscribe(wrong).await), "{wrong}");
    }
    house.auth.unsubscribe(&token).await.unwrap();
    house.auth.unsubscribe(&token).await.unwrap();
    let (mut connection, now) = (pool.acquire().await.unwrap(), post.now());
    let mut find = async |address: &str, is_optional| {
        suppression::find(&mut connection, address, is_optional, now).await.unwrap()
    };
    assert_eq!(find("Ada@example.com", true).await.as_deref(), Some("unsubscribed"));
    assert_eq!(find("ada@example.com", false).await, None, "a password's link comes all the same");
    assert_eq!(find("bob@example.com", true).await, None);
}

#[tokio::test]
async fn a_suppression_ends_by_itself_or_by_an_operator_and_one_that_lasts_is_not_cut_short() {
    let place = Place::fresh().await;
    let mut connection = place.pool.acquire().await.unwrap();
    let now = chrono::DateTime::from_timestamp_micros(place.clock.now_micros()).unwrap();
    let (week, address) = (Some(now + TimeDelta::days(7)), "ada@example.com");
    let all = Suppressed::All;
    suppression::add(&mut connection, address, all, "bounced", now, week).await.unwrap();
    let later = now + TimeDelta::days(8);
    assert!(suppression::find(&mut connection, address, false, now).await.unwrap().is_some());
    assert!(suppression::find(&mut connection, address, false, later).await.unwrap().is_none());
    suppression::add(&mut connection, address, all, "asked", now, None).await.unwrap();
    suppression::add(&mut connection, address, all, "bounced", now, week).await.unwrap();
    let found = suppression::find(&mut connection, address, false, later).await.unwrap();
    assert_eq!(found.as_deref(), Some("asked"));
    let listed = suppression::list(&mut connection, &PageRequest::default()).await.unwrap().items;
    assert_eq!(listed.len(), 1);
    assert!(suppression::remove(&mut connection, address).await.unwrap());
    assert!(!suppression::remove(&mut connection, address).await.unwrap());
}

#[tokio::test]
async fn a_mail_has_a_job_in_the_same_transaction_and_is_noted_once() {
    let house = House::fresh().await;
    house.register("ada@example.com", "Acme").await;
    let mail = house.mail_to("ada@example.com").await;
    let jobs = "SELECT count(*) FROM job j JOIN outbox o ON j.key = o.id::text WHERE j.kind = 'mail.send'";
    assert_eq!(house.place.number(jobs).await, 1);
    let mut tx = house.place.pool.begin().await.unwrap();
    outbox::sent(&mut tx, mail.id, mail.created_at).await.unwrap();
    assert!(outbox::sent(&mut tx, mail.id, mail.created_at).await.is_err(), "it was noted already");
    tx.rollback().await.unwrap();
    let listed = outbox::list(
        &mut house.place.pool.acquire().await.unwrap(),
        Some("ada@example.com"),
        &PageRequest::default(),
    )
    .await
    .unwrap()
    .items;
    assert_eq!((listed.len(), listed[0].state.as_str()), (1, "waiting"));
}
