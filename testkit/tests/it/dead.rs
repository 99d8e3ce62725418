//! Dead letters: replayed once, whatever happens meanwhile, and never more than the budget.

use std::time::Duration;

use bytes::Bytes;
use eventlog::Append;
use processor::dead::State;
use processor::dead::book::{self, Which};
use processor::run::Fatal;
use processor::{Processor, ProcessorConfig, below};
use proof::verify::verify;
use schemas::event::{Event, EventFlags, EventKind};
use schemas::frame::{BundleWriter, Envelope, FrameWriter};
use schemas::id::{EventHash, KeyId, LeaseId, ProjectId};
use schemas::time::Micros;
use service::clock::Clock;
use service::config::Settings;
use service::shutdown::{Shutdown, ShutdownTrigger};
use testkit::river::{Customer, RiverConfig};
use testkit::{River, eventually};
use uuid::Uuid;

use crate::river::metered;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn one_partition() -> RiverConfig {
    RiverConfig { partitions: 1, ..RiverConfig::default() }
}

pub(crate) async fn assert_proved(river: &River, when: &str) {
    let verdict = verify(&river.stores.pool, &river.stores.clickhouse(), &*river.log).await.unwrap();
    assert!(verdict.holds(), "{when}: {verdict:?}");
}

/// A frame of the customer's events, as ingest writes it, spent under `lease`.
async fn frame(river: &River, customer: &Customer, lease: LeaseId, ids: &[&str]) -> Vec<u8> {
    let project: i64 = sqlx::query_scalar("SELECT id FROM project WHERE tenant_id = $1")
        .bind(customer.tenant.0)
        .fetch_one(&river.stores.pool)
        .await
        .unwrap();
    let month = "SELECT extract(epoch FROM date_trunc('month', now(), 'UTC'))::bigint";
    let period_start = river.stores.postgres_number(month).await;
    let envelope = Envelope {
        tenant: customer.tenant,
        project: ProjectId(project),
        key: KeyId::from_number(1).unwrap(),
        lease,
        period_start,
        received_at: Micros(Clock::system().now_micros()),
        request_id: Uuid::nil(),
        client_ip: None,
        user_agent: "",
    };
    let mut writer = FrameWriter::new(&envelope, 0);
    for id in ids {
        assert_eq!(
            writer.push(&Event {
                hash: EventHash::of(envelope.project, id),
                kind: EventKind::Track,
                flags: EventFlags::default(),
                timestamp: envelope.received_at,
                id,
                name: "tested",
                user_id: "",
                anonymous_id: "",
                properties: "",
                context: "",
                extra: "",
            }),
            Ok(())
        );
    }
    writer.finish().to_vec()
}

/// The frame as a weir would write it that is newer than this one.
fn of_an_unknown_version(frame: &[u8]) -> Vec<u8> {
    [&[3], frame.get(1..).unwrap()].concat()
}

async fn append(river: &River, payload: Vec<u8>, timestamp_ms: i64) {
    let record = Append { partition: 0, timestamp_ms, payload: Bytes::from(payload) };
    river.log.append(vec![record], Duration::from_secs(5)).await.unwrap();
}

async fn append_bundle(river: &River, frames: &[&[u8]]) {
    let mut bundle = BundleWriter::default();
    for frame in frames {
        bundle.push(frame);
    }
    append(river, bundle.record().to_vec(), 0).await;
}

async fn dead(river: &River, letters: i64) {
    eventually("the letters are there", PATIENCE, async || {
        river.stores.postgres_number("SELECT count(*) FROM dead_letter").await == letters
    })
    .await;
}

/// From now on this weir can read what it could not: the only letter has these bytes.
async fn mend(river: &River, raw: &[u8]) {
    let mended = sqlx::query("UPDATE dead_letter SET raw = $1 WHERE state = 'dead'").bind(raw);
    assert_eq!(mended.execute(&river.stores.pool).await.unwrap().rows_affected(), 1);
}

/// A letter with these events, which this weir could not read, and can by now.
pub(crate) async fn append_letter(river: &River, customer: &Customer, ids: &[&str]) {
    let mended = frame(river, customer, LeaseId::NONE, ids).await;
    append(river, of_an_unknown_version(&mended), 0).await;
    dead(river, 1).await;
    mend(river, &mended).await;
}

async fn replay_all(river: &River) -> u64 {
    book::ask_replay(&river.stores.pool, &Which::default()).await.unwrap()
}

async fn replayed(river: &River, stored: i64, duplicate: i64) {
    eventually("no letter waits for its replay", PATIENCE, async || {
        river.stores.postgres_number("SELECT count(*) FROM dead_letter WHERE state = 'asked'").await == 0
    })
    .await;
    let letters = book::list(&river.stores.pool, &Which::default(), None).await.unwrap();
    assert!(letters.iter().all(|letter| letter.state == State::Replayed), "{letters:?}");
    let sum: (i64, i64) = letters
        .iter()
        .fold((0, 0), |(stored, duplicate), letter| (stored + letter.stored, duplicate + letter.duplicate));
    assert_eq!(sum, (stored, duplicate), "{letters:?}");
}

/// Events that count against the quota: granted, without what leases still hold.
async fn spent(river: &River) -> i64 {
    river
        .stores
        .postgres_number(
            "SELECT coalesce((SELECT sum(granted) FROM quota_period), 0)::bigint
                    - coalesce((SELECT sum(granted - processed) FROM quota_lease), 0)::bigint",
        )
        .await
}

async fn duplicates(river: &River, duplicate: i64) {
    eventually("the repeated ones are duplicates", PATIENCE, async || {
        river.stores.postgres_number("SELECT coalesce(sum(duplicate), 0)::bigint FROM usage_hour").await
            == duplicate
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_of_many_events_is_replayed_once_and_its_ids_are_known_from_then_on() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", None).await;
    let client = river.client(&customer.key);
    let mended = frame(&river, &customer, LeaseId::NONE, &["m0", "m1", "m2", "m0"]).await;
    let (before, after) = (
        frame(&river, &customer, LeaseId::NONE, &["a0", "a1"]).await,
        frame(&river, &customer, LeaseId::NONE, &["b0", "b1"]).await,
    );
    append_bundle(&river, &[&before, &of_an_unknown_version(&mended), &after]).await;
    // A client that sent one of them once more, and had it stored.
    assert_eq!(client.post_ids(["m1"]).await.status, 202);
    metered(&river, &customer, 5).await;
    assert_proved(&river, "before").await;
    mend(&river, &mended).await;
    assert_proved(&river, "readable, but not replayed").await;
    assert_eq!(replay_all(&river).await, 1);
    replayed(&river, 2, 2).await;
    metered(&river, &customer, 7).await;
    assert_proved(&river, "after").await;
    assert_eq!(replay_all(&river).await, 0, "it is not dead any more");
    assert_eq!(river.stores.postgres_number("SELECT sum(dead)::bigint FROM batch_ledger").await, 0);
    assert_eq!(river.stores.postgres_number("SELECT ids_generation FROM partition_cursor").await, 1);
    assert_eq!(spent(&river).await, 7);
    assert_eq!(client.post_ids(["m0", "m2", "a1"]).await.status, 202);
    duplicates(&river, 5).await;
    let (stores, log) = river.stop().await;
    let river = River::start_on(stores, log, one_partition()).await;
    assert_eq!(river.client(&customer.key).post_ids(["m0", "m2", "new"]).await.status, 202);
    duplicates(&river, 7).await;
    metered(&river, &customer, 8).await;
    assert_proved(&river, "at last").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_a_frame_is_replayed_and_counts_against_the_quota_again() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", Some(1_000)).await;
    assert_eq!(river.client(&customer.key).post_ids(["x"]).await.status, 202);
    metered(&river, &customer, 1).await;
    let lease = LeaseId(river.stores.postgres_number("SELECT min(id) FROM quota_lease").await);
    let whole = frame(&river, &customer, lease, &["h0", "h1", "h2", "h3"]).await;
    let third = frame(&river, &customer, lease, &["h0", "h1", "h2"]).await;
    append(&river, whole.get(..third.len() + 9).unwrap().to_vec(), 0).await;
    dead(&river, 1).await;
    metered(&river, &customer, 4).await;
    assert_eq!(spent(&river).await, 4);
    assert_proved(&river, "before").await;
    mend(&river, &whole).await;
    assert_proved(&river, "readable, but not replayed").await;
    replay_all(&river).await;
    replayed(&river, 1, 0).await;
    metered(&river, &customer, 5).await;
    assert_eq!(spent(&river).await, 5);
    assert_proved(&river, "after").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_whose_lease_nobody_could_read_count_whether_it_is_settled_or_not() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", Some(1_000)).await;
    assert_eq!(river.client(&customer.key).post_ids(["x"]).await.status, 202);
    metered(&river, &customer, 1).await;
    let open = LeaseId(river.stores.postgres_number("SELECT min(id) FROM quota_lease").await);
    for (lease, ids, stored) in [(open, ["o0", "o1"], 3), (LeaseId(999_999), ["s0", "s1"], 5)] {
        let mended = frame(&river, &customer, lease, &ids).await;
        append(&river, of_an_unknown_version(&mended), 0).await;
        eventually("the letter is there", PATIENCE, async || {
            river.stores.postgres_number("SELECT count(*) FROM dead_letter WHERE state = 'dead'").await == 1
        })
        .await;
        mend(&river, &mended).await;
        assert_eq!(spent(&river).await, stored - 2);
        replay_all(&river).await;
        replayed(&river, stored - 1, 0).await;
        metered(&river, &customer, stored).await;
        assert_eq!(spent(&river).await, stored);
    }
    assert_proved(&river, "after").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_still_can_t_be_read_goes_back_to_the_dead_with_what_is_wrong_now() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", None).await;
    append(&river, b"junk".to_vec(), 0).await;
    dead(&river, 1).await;
    let other = frame(&river, &customer, LeaseId::NONE, &["z"]).await;
    for (raw, reason) in [
        (b"junk".to_vec(), "frame version 106 is not known"),
        (other.get(..other.len() - 1).unwrap().to_vec(), "the frame is cut short"),
    ] {
        mend(&river, &raw).await;
        assert_eq!(replay_all(&river).await, 1);
        eventually(reason, PATIENCE, async || {
            let letters = book::list(&river.stores.pool, &Which::default(), None).await.unwrap();
            letters[0].state == State::Dead && letters[0].reason == reason
        })
        .await;
        assert_proved(&river, reason).await;
    }
    let letter = Which { reason: Some("cut short".to_owned()), ..Which::default() };
    assert_eq!(book::discard(&river.stores.pool, &letter).await.unwrap(), 1);
    assert_eq!(replay_all(&river).await, 0);
    let letters = book::list(&river.stores.pool, &letter, None).await.unwrap();
    assert_eq!((letters[0].state, letters[0].bytes), (State::Discarded, 0));
    assert_proved(&river, "discarded").await;
    river.stop().await;
}

/// Postgres takes no replay any more, as if each processor died after its insert, or takes them again.
async fn fail_commits(river: &River, fail: bool) {
    for statement in if fail {
        [
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'lost'; END $$",
            "CREATE TRIGGER fail BEFORE UPDATE ON dead_letter FOR EACH ROW
             WHEN (NEW.state = 'replayed') EXECUTE FUNCTION fail()",
        ]
    } else {
        ["DROP TRIGGER fail ON dead_letter", "DROP FUNCTION fail"]
    } {
        sqlx::query(statement).execute(&river.stores.pool).await.unwrap();
    }
}

async fn rows(river: &River, rows: u64) {
    eventually("the rows are there", PATIENCE, async || {
        river.stores.clickhouse_number("SELECT count() FROM events").await == rows
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_dies_between_its_rows_and_its_commit_is_done_again_and_counted_once() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", None).await;
    let mended = frame(&river, &customer, LeaseId::NONE, &["m0", "m1", "m2"]).await;
    append(&river, of_an_unknown_version(&mended), 0).await;
    dead(&river, 1).await;
    mend(&river, &mended).await;
    fail_commits(&river, true).await;
    replay_all(&river).await;
    rows(&river, 3).await;
    // The next owner of the partition knows the ids, since it has read them from the rows.
    eventually("the partition is taken again", PATIENCE, async || {
        river.stores.postgres_number("SELECT max(epoch) FROM partition_cursor").await > 1
    })
    .await;
    assert_eq!(river.client(&customer.key).post_ids(["m1"]).await.status, 202);
    duplicates(&river, 1).await;
    // They are the letter's, and nobody else's business.
    assert_eq!(crate::repair::repaired(&river).await.done.removed, 0);
    fail_commits(&river, false).await;
    replayed(&river, 3, 0).await;
    metered(&river, &customer, 3).await;
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 3);
    assert_proved(&river, "after").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_replay_that_died_go_when_their_ids_were_stored_elsewhere_meanwhile() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", None).await;
    let mended = frame(&river, &customer, LeaseId::NONE, &["m0", "m1", "m2"]).await;
    append(&river, of_an_unknown_version(&mended), 0).await;
    dead(&river, 1).await;
    mend(&river, &mended).await;
    fail_commits(&river, true).await;
    replay_all(&river).await;
    rows(&river, 3).await;
    // A suspended processor's rows, which are seen only when another has stored one of the ids.
    let (stores, log) = river.stop().await;
    let clickhouse = stores.clickhouse();
    for statement in
        ["CREATE TABLE aside AS events", "INSERT INTO aside SELECT * FROM events", "TRUNCATE TABLE events"]
    {
        clickhouse.query(statement).execute().await.unwrap();
    }
    // Who has not seen these rows does not know their ids.
    std::fs::remove_dir_all(stores.folder.path().join("ids")).unwrap();
    sqlx::query("UPDATE dead_letter SET state = 'dead'").execute(&stores.pool).await.unwrap();
    let river = River::start_on(stores, log, one_partition()).await;
    assert_eq!(river.client(&customer.key).post_ids(["m1"]).await.status, 202);
    metered(&river, &customer, 1).await;
    clickhouse.query("INSERT INTO events SELECT * FROM aside").execute().await.unwrap();
    fail_commits(&river, false).await;
    replay_all(&river).await;
    replayed(&river, 2, 1).await;
    metered(&river, &customer, 3).await;
    assert_eq!(river.stores.clickhouse_number("SELECT count() FROM events").await, 3);
    assert_proved(&river, "after").await;
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_waits_for_a_proof_and_holds_up_nothing_else() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", None).await;
    append_letter(&river, &customer, &["m0"]).await;
    let proof = below::read_all(&river.stores.pool).await.unwrap();
    assert!(below::try_change(&river.stores.pool, 0).await.unwrap().is_none());
    assert_eq!(replay_all(&river).await, 1);
    for round in 0..5 {
        assert_eq!(river.client(&customer.key).post_ids([round]).await.status, 202);
        metered(&river, &customer, round + 1).await;
    }
    let asked = "SELECT count(*) FROM dead_letter WHERE state = 'asked'";
    assert_eq!(river.stores.postgres_number(asked).await, 1);
    proof.release().await;
    replayed(&river, 1, 0).await;
    metered(&river, &customer, 6).await;
    assert_proved(&river, "after").await;
    river.stop().await;
}

/// A processor with these settings that runs until it ends by itself or is ordered to.
fn processor(
    river: &River,
    settings: &[(&str, &str)],
) -> (ShutdownTrigger, tokio::task::JoinHandle<Result<(), Fatal>>) {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut settings = Settings::new(settings);
    let config = ProcessorConfig::read(&mut settings, river.stores.folder.path());
    settings.finish().unwrap();
    let (pool, log) = (river.stores.pool.clone(), std::sync::Arc::clone(&river.log));
    let processor = Processor::new(pool, river.stores.clickhouse(), log, Clock::system(), config);
    let (trigger, shutdown) = Shutdown::new();
    (trigger, tokio::spawn(processor.run(shutdown)))
}

async fn cursor(river: &River, at: i64) {
    eventually(&format!("the cursor stands at {at}"), PATIENCE, async || {
        river.stores.postgres_number("SELECT next_offset FROM partition_cursor").await == at
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_stops_before_the_commit_that_would_pass_the_budget_of_dead_events() {
    let river = River::start_with(RiverConfig { processors: 0, ..one_partition() }).await;
    let settings: [(&str, &str); 2] = [("WEIR_DEAD_EVENTS_MAX", "2"), ("WEIR_BATCH_LINGER_MS", "20")];
    let (_trigger, running) = processor(&river, &settings);
    for offset in 0..2 {
        append(&river, b"junk".to_vec(), 1_000_000).await;
        cursor(&river, offset + 1).await;
    }
    append(&river, b"junk".to_vec(), 1_000_000).await;
    let fatal = tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap_err().to_string();
    assert!(fatal.contains("3 events of partition 0 within 60 minutes can't be read"), "{fatal}");
    assert!(fatal.contains("allows 2. The last is at offset 2: frame version 106"), "{fatal}");
    assert!(fatal.contains("weir dead resume"), "{fatal}");
    cursor(&river, 2).await;
    dead(&river, 2).await;

    // Again, until somebody decides.
    let (_trigger, running) = processor(&river, &settings);
    assert!(tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().is_err());
    book::resume(&river.stores.pool, &*river.log).await.unwrap();
    let (trigger, running) = processor(&river, &settings);
    cursor(&river, 3).await;
    // What was forgiven counts no more, what comes now does.
    for offset in 3..5 {
        append(&river, b"junk".to_vec(), 1_000_000).await;
        cursor(&river, offset + 1).await;
    }
    trigger.order();
    running.await.unwrap().unwrap();
    append(&river, b"junk".to_vec(), 1_000_000).await;
    let (_trigger, running) = processor(&river, &settings);
    assert!(tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().is_err());

    // Room comes from a higher setting, from letters that are dealt with, and from time.
    let third = [("WEIR_DEAD_EVENTS_MAX", "3")];
    let (trigger, running) = processor(&river, &third);
    cursor(&river, 6).await;
    trigger.order();
    running.await.unwrap().unwrap();
    book::discard(&river.stores.pool, &Which::default()).await.unwrap();
    let (trigger, running) = processor(&river, &settings);
    for (offset, timestamp_ms) in [(6, 10_000_000), (7, 10_000_000), (8, 10_000_000 + 3_600_000)] {
        append(&river, b"junk".to_vec(), timestamp_ms).await;
        cursor(&river, offset + 1).await;
    }
    assert_proved(&river, "nothing is lost").await;
    // Within the window of the last, by a millisecond, of which there are two by now.
    append(&river, b"junk".to_vec(), 10_000_000 + 3_600_000).await;
    cursor(&river, 10).await;
    append(&river, b"junk".to_vec(), 10_000_000 + 2 * 3_600_000 - 1).await;
    assert!(tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().is_err());
    drop(trigger);
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_by_name_tenant_reason_age_and_state() {
    let river = River::start_with(one_partition()).await;
    let customer = river.customer("acme", None).await;
    let whole = frame(&river, &customer, LeaseId::NONE, &["h0", "h1"]).await;
    append(&river, whole.get(..whole.len() - 1).unwrap().to_vec(), 0).await;
    append(&river, b"junk".to_vec(), 0).await;
    dead(&river, 2).await;
    let pool = &river.stores.pool;
    let all = book::list(pool, &Which::default(), None).await.unwrap();
    assert_eq!((all[0].tenant, all[0].events, all[1].tenant), (Some(customer.tenant.0), 1, None));
    let first = all[0].id.parse().unwrap();
    assert_eq!(book::list(pool, &Which::default(), Some(first)).await.unwrap(), all[1..]);
    assert_eq!(book::raw(pool, all[1].id.parse().unwrap()).await.unwrap().unwrap(), b"junk");
    for (which, found) in [
        (Which { id: Some(first), ..Which::default() }, 1),
        (Which { tenant: Some(customer.tenant), ..Which::default() }, 1),
        (Which { reason: Some("version 106".to_owned()), ..Which::default() }, 1),
        (Which { state: Some(State::Asked), ..Which::default() }, 0),
        (Which { since: Some(all[0].died_at), ..Which::default() }, 2),
        (Which { since: Some(all[1].died_at + Duration::from_secs(60)), ..Which::default() }, 0),
    ] {
        assert_eq!(book::list(pool, &which, None).await.unwrap().len(), found, "{which:?}");
    }
    let counts = book::counts(pool).await.unwrap();
    assert!(counts.len() == 1 && counts[0].1 == 2 && counts[0].2.dead == 2, "{counts:?}");
    river.stop().await;
}
