//! Dead letters: their events are stored once, whatever happens meanwhile, and there are never more than the budget.

mod replay;
mod upgrade;

use std::time::Duration;

use accounts::dead_letter::{self, Decision, Letter, Which};
use accounts::{AccountError, Caller, PageRequest, PlatformScope, every};
use bytes::Bytes;
use eventlog::Append;
use metering::period::Period;
use processor::dead::budget;
use processor::run::Fatal;
use processor::standing::{self, Resumed};
use processor::{Processor, ProcessorConfig};
use schemas::event::{Event, EventFlags, EventKind};
use schemas::frame::{BundleWriter, Envelope, FrameWriter};
use schemas::id::{EventHash, KeyId, LeaseId, ProjectId};
use schemas::letter::LetterState;
use schemas::time::Micros;
use service::clock::Clock;
use service::config::Settings;
use service::postgres::Role;
use service::shutdown::{Shutdown, ShutdownTrigger};
use testkit::river::{Customer, RiverConfig};
use testkit::{River, Stores, eventually};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn one_partition() -> RiverConfig {
    RiverConfig { partitions: 1, ..RiverConfig::default() }
}

/// As operators work.
pub(crate) async fn operators(stores: &Stores) -> PlatformScope {
    let (pool, clock) = (stores.pool_of(Role::Api), Clock::system());
    PlatformScope::open_platform(&pool, &clock, Caller::COMMAND_LINE).await.unwrap()
}

/// Decides on letters: on how many.
pub(crate) async fn decide(stores: &Stores, decision: Decision, which: &Which) -> Result<u64, AccountError> {
    let mut scope = operators(stores).await;
    let decided = dead_letter::decide(&mut scope, decision, which, "a test").await?;
    scope.commit().await?;
    Ok(decided)
}

/// The letters meant.
pub(crate) async fn letters(stores: &Stores, which: &Which) -> Vec<Letter> {
    let mut scope = operators(stores).await;
    every(async |asked| dead_letter::list(&mut scope, which, asked).await).await.unwrap()
}

pub(crate) async fn assert_proved(river: &River, when: &str) {
    let verdict = river.verdict().await;
    assert!(verdict.holds(), "{when}: {verdict:?}");
}

/// A river of one partition with one customer.
pub(crate) struct Scene {
    pub(crate) river: River,
    pub(crate) acme: Customer,
    project: ProjectId,
}

impl Scene {
    async fn start(config: RiverConfig, quota: Option<i64>) -> Self {
        Self::of(River::start_with(config).await, quota).await
    }

    async fn of(river: River, quota: Option<i64>) -> Self {
        let acme = river.customer("acme", quota).await;
        let project = ProjectId(river.stores.postgres_number("SELECT id FROM project").await);
        Self { river, acme, project }
    }

    /// One whose first record this weir can read, and the weir before could not: by its books it is a dead letter.
    pub(crate) async fn after_an_older_weir(ids: &[&str]) -> Self {
        let scene = Self::start(RiverConfig { processors: 0, ..one_partition() }, None).await;
        let raw = scene.frame(LeaseId::NONE, ids);
        scene.append(&raw, 0).await;
        for statement in [
            "INSERT INTO dead_letter (partition, position, events, reason, raw)
             VALUES (0, 0, 1, 'of an older weir', $1)",
            "INSERT INTO batch_ledger SELECT 0, 0, 1, 0, 0, 1, 0 WHERE $1 IS NOT NULL",
            "UPDATE partition_cursor SET next_offset = 1 WHERE $1 IS NOT NULL",
        ] {
            sqlx::query(statement).bind(&raw).execute(&scene.river.stores.pool).await.unwrap();
        }
        scene.again(one_partition()).await
    }

    /// The same river, stopped and started.
    async fn again(self, config: RiverConfig) -> Self {
        let (stores, log) = self.river.stop().await;
        Self { river: River::start_on(stores, log, config).await, ..self }
    }

    /// What ingest writes of a request that it receives at this moment, and spends under `lease`.
    fn envelope(&self, lease: LeaseId) -> Envelope<'static> {
        let received_at = Micros(Clock::system().now_micros());
        Envelope {
            tenant: self.acme.tenant,
            project: self.project,
            key: KeyId::from_number(1).unwrap(),
            lease,
            period_start: Period::month_of(received_at, "UTC".parse().unwrap()).start.seconds(),
            received_at,
            request_id: Uuid::from_u128(7),
            client_ip: None,
            user_agent: "",
        }
    }

    fn frame(&self, lease: LeaseId, ids: &[&str]) -> Vec<u8> {
        frame(&self.envelope(lease), ids)
    }

    async fn append(&self, payload: &[u8], timestamp_ms: i64) {
        let record = Append { partition: 0, timestamp_ms, payload: Bytes::copy_from_slice(payload) };
        self.river.log.append(vec![record], Duration::from_secs(5)).await.unwrap();
    }

    /// Appends frames as one record, of which this weir can't read `unreadable`, and can by now.
    async fn append_letter(&self, before: &[u8], unreadable: &[u8], after: &[u8]) {
        let letters = "SELECT count(*) FROM dead_letter";
        let there = self.number(letters).await;
        let of_a_newer_weir = [&[200], unreadable.get(1..).unwrap()].concat();
        let mut bundle = BundleWriter::default();
        for frame in [before, &of_a_newer_weir, after].into_iter().filter(|frame| !frame.is_empty()) {
            bundle.push(frame);
        }
        self.append(bundle.record(), 0).await;
        self.until(letters, there + 1).await;
        self.mend(unreadable).await;
    }

    /// The only letter that is dead has these bytes.
    async fn mend(&self, raw: &[u8]) {
        let mended = sqlx::query("UPDATE dead_letter SET raw = $1 WHERE state = 'dead'").bind(raw);
        assert_eq!(mended.execute(&self.river.stores.pool).await.unwrap().rows_affected(), 1);
    }

    async fn number(&self, query: &'static str) -> i64 {
        self.river.stores.postgres_number(query).await
    }

    async fn until(&self, query: &'static str, number: i64) {
        eventually(&format!("{query} is {number}"), PATIENCE, async || self.number(query).await == number)
            .await;
    }

    async fn post(&self, ids: &[&str]) {
        let reply = self.river.client(&self.acme.key).post_ids(ids).await;
        assert_eq!(reply.status, 202, "{reply:?}");
    }

    /// Waits for so many events of each outcome, stored and duplicate, and finds that no more come with them.
    async fn counted(&self, stored: i64, duplicate: i64) {
        const SUMS: &str =
            "SELECT coalesce(sum(stored), 0)::bigint, coalesce(sum(duplicate), 0)::bigint FROM usage_hour";
        let sums =
            async || sqlx::query_as::<_, (i64, i64)>(SUMS).fetch_one(&self.river.stores.pool).await.unwrap();
        eventually("the events are counted", PATIENCE, async || {
            let (now_stored, now_duplicate) = sums().await;
            now_stored >= stored && now_duplicate >= duplicate
        })
        .await;
        assert_eq!(sums().await, (stored, duplicate));
    }

    /// Events that count against the quota: granted, without what leases still hold.
    async fn spent(&self) -> i64 {
        self.number(
            "SELECT coalesce((SELECT sum(granted) FROM quota_period), 0)::bigint
                    - coalesce((SELECT sum(granted - processed) FROM quota_lease), 0)::bigint",
        )
        .await
    }

    /// Asks for the replay of all letters: how many are dead.
    pub(crate) async fn ask(&self) -> u64 {
        decide(&self.river.stores, Decision::Replay, &Which::default()).await.unwrap()
    }

    async fn letters(&self) -> Vec<Letter> {
        letters(&self.river.stores, &Which::default()).await
    }

    /// Replays all letters; what became of the last.
    async fn replay(&self) -> Letter {
        assert!(self.ask().await > 0);
        self.until("SELECT count(*) FROM dead_letter WHERE state = 'asked'", 0).await;
        self.letters().await.pop().unwrap()
    }

    pub(crate) async fn proved(&self, when: &str) {
        assert_proved(&self.river, when).await;
    }
}

/// A frame of events, each of the user whose name is the id's first letter.
fn frame(envelope: &Envelope<'_>, ids: &[&str]) -> Vec<u8> {
    let mut writer = FrameWriter::new(envelope, 0);
    for id in ids {
        let event = Event {
            hash: EventHash::of(envelope.project, id),
            kind: EventKind::Track,
            flags: EventFlags::default(),
            timestamp: envelope.received_at,
            id,
            name: "tested",
            user_id: &id[..1],
            anonymous_id: "",
            properties: "",
            context: "",
            extra: "",
        };
        assert_eq!(writer.push(&event), Ok(()));
    }
    writer.finish().to_vec()
}

/// A processor with these settings that runs until it ends by itself or is ordered to.
pub(crate) fn processor(
    river: &River,
    settings: &[(&str, &str)],
    change: impl FnOnce(&mut ProcessorConfig),
) -> (ShutdownTrigger, tokio::task::JoinHandle<Result<(), Fatal>>) {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut settings = Settings::new(settings);
    let mut config = ProcessorConfig::read(&mut settings, river.stores.folder.path());
    settings.finish().unwrap();
    change(&mut config);
    let (pool, log) = (river.stores.pool.clone(), std::sync::Arc::clone(&river.log));
    let processor = Processor::new(pool, river.stores.clickhouse(), log, Clock::system(), config);
    let (trigger, shutdown) = Shutdown::new();
    (trigger, tokio::spawn(processor.run(shutdown)))
}

const CURSOR: &str = "SELECT next_offset FROM partition_cursor";
const HALTED: &str = "SELECT count(halted_at) FROM partition_cursor";

/// Lets the partition be taken again.
async fn resume(river: &River) {
    assert_eq!(standing::resume(&river.stores.processor, 0).await.unwrap(), Resumed::Yes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_halted_before_the_commit_that_would_pass_the_budget_of_dead_events() {
    let scene = Scene::start(RiverConfig { processors: 0, ..one_partition() }, None).await;
    let river = &scene.river;
    let junk = async |timestamp_ms| scene.append(b"junk", timestamp_ms).await;
    let settings: [(&str, &str); 2] = [("WEIR_DEAD_EVENTS_MAX", "2"), ("WEIR_BATCH_LINGER_MS", "20")];
    let (stop, running) = processor(river, &settings, |_| {});
    for offset in 0..2 {
        junk(1_000_000).await;
        scene.until(CURSOR, offset + 1).await;
    }
    junk(1_000_000).await;
    scene.until(HALTED, 1).await;
    let standing = standing::list(&river.stores.processor, None).await.unwrap().swap_remove(0);
    let reason = standing.halted_reason.unwrap();
    assert!(reason.contains("3 events of partition 0 within 60 minutes can't be read"), "{reason}");
    assert!(reason.contains("allows 2. The last is at offset 2: frame version 106"), "{reason}");
    assert!(reason.contains("weir dead resume") && reason.ends_with("weir partition resume 0"), "{reason}");
    assert_eq!((standing.next_offset, standing.owner), (2, None));
    assert_eq!(scene.letters().await.len(), 2);

    // Again, until somebody decides.
    resume(river).await;
    scene.until(HALTED, 1).await;
    budget::resume(&river.stores.pool, &*river.log).await.unwrap();
    resume(river).await;
    scene.until(CURSOR, 3).await;
    // What was forgiven counts no more, what comes now does.
    for offset in 3..5 {
        junk(1_000_000).await;
        scene.until(CURSOR, offset + 1).await;
    }
    junk(1_000_000).await;
    scene.until(HALTED, 1).await;
    stop.order();
    running.await.unwrap().unwrap();

    // Room comes from a higher setting, from letters that are dealt with, and from time.
    let (stop, running) = processor(river, &[("WEIR_DEAD_EVENTS_MAX", "3")], |_| {});
    resume(river).await;
    scene.until(CURSOR, 6).await;
    stop.order();
    running.await.unwrap().unwrap();
    decide(&river.stores, Decision::Discard, &Which::default()).await.unwrap();
    let (stop, running) = processor(river, &settings, |_| {});
    for (offset, timestamp_ms) in [(6, 10_000_000), (7, 10_000_000), (8, 10_000_000 + 3_600_000)] {
        junk(timestamp_ms).await;
        scene.until(CURSOR, offset + 1).await;
    }
    scene.proved("nothing is lost").await;
    // Within the window of the last, by a millisecond, of which there are two by now.
    junk(10_000_000 + 3_600_000).await;
    scene.until(CURSOR, 10).await;
    junk(10_000_000 + 2 * 3_600_000 - 1).await;
    scene.until(HALTED, 1).await;
    scene.until(CURSOR, 10).await;
    stop.order();
    running.await.unwrap().unwrap();
    scene.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_found_by_name_tenant_reason_age_and_state() {
    let scene = Scene::start(one_partition(), None).await;
    let whole = scene.frame(LeaseId::NONE, &["h0", "h1"]);
    scene.append(whole.get(..whole.len() - 1).unwrap(), 0).await;
    scene.append(b"junk", 0).await;
    scene.until("SELECT count(*) FROM dead_letter", 2).await;
    let stores = &scene.river.stores;
    let all = scene.letters().await;
    assert!(all[0].tenant.is_some() && all[0].project.is_some() && all[1].tenant.is_none(), "{all:?}");
    assert_eq!(all[0].events, 1);
    let (first, second) = (all[0].id, all[1].id);
    let mut scope = operators(stores).await;
    assert_eq!(dead_letter::raw(&mut scope, second).await.unwrap(), b"junk");
    let (every_letter, one) = (Which::default(), PageRequest::new(Some(1), None).unwrap());
    let page = dead_letter::list(&mut scope, &every_letter, &one).await.unwrap();
    let next = PageRequest::new(Some(1), page.next_cursor).unwrap();
    assert_eq!(dead_letter::list(&mut scope, &every_letter, &next).await.unwrap().items, all[1..]);
    let minute = Duration::from_secs(60);
    for (which, found) in [
        (Which { id: Some(first), ..Which::default() }, 1),
        (Which { tenant: Some("acme".to_owned()), ..Which::default() }, 1),
        (Which { reason: Some("version 106".to_owned()), ..Which::default() }, 1),
        (Which { state: Some(LetterState::Asked), ..Which::default() }, 0),
        (Which { from: Some(all[0].died_at), ..Which::default() }, 2),
        (Which { from: Some(all[1].died_at + minute), ..Which::default() }, 0),
        (Which { to: Some(all[0].died_at), ..Which::default() }, 0),
        (Which { to: Some(all[1].died_at + minute), ..Which::default() }, 2),
    ] {
        assert_eq!(letters(stores, &which).await.len(), found, "{which:?}");
    }
    let nobody = Which { tenant: Some("nobody".to_owned()), ..Which::default() };
    assert!(matches!(decide(stores, Decision::Discard, &nobody).await, Err(AccountError::NotFound(_))));
    let one = Which { id: Some(first), ..Which::default() };
    assert_eq!(decide(stores, Decision::Discard, &one).await.unwrap(), 1);
    assert!(matches!(decide(stores, Decision::Replay, &one).await, Err(AccountError::Conflict(_))));
    scene.river.stop().await;
}
