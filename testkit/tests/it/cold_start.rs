//! An ingest node that starts while Postgres is away: on what it has saved, for the log that this belongs to, and no
//! further than what it knows allows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use eventlog::EventLog;
use eventlog::local::{LocalConfig, LocalLog};
use service::clock::Clock;
use service::config::Secret;
use service::postgres;
use testkit::river::{Customer, RiverConfig};
use testkit::stores::Stores;
use testkit::{Client, Node, NodeConfig, Proxy, River, eventually};

use crate::river::metered;

/// Sooner than this, the directory is on the disk after a change.
const SAVED_WITHIN: Duration = Duration::from_secs(15);

/// Where a river's second node is started again and again, behind a proxy to Postgres.
struct Place {
    river: River,
    proxy: Proxy,
    database_url: String,
    file: PathBuf,
}

impl Place {
    async fn new() -> Self {
        let river = River::start_with(RiverConfig { partitions: 2, ..RiverConfig::default() }).await;
        let (proxy, database_url) = Proxy::to_postgres(&river.stores.database_url).await;
        let file = river.stores.folder.path().join("node/directory");
        Self { river, proxy, database_url, file }
    }

    async fn start(&self, is_bound: bool) -> Node {
        self.start_on(&self.river.log, is_bound, Clock::system()).await
    }

    async fn start_on(&self, log: &Arc<dyn EventLog>, is_bound: bool, clock: Clock) -> Node {
        let pool = postgres::pool(&Secret::from(self.database_url.as_str()), 4, None).unwrap();
        let (log, directory_file) = (Arc::clone(log), Some(self.file.clone()));
        Node::start(NodeConfig { pool, log, settings: vec![], directory_file, is_bound, clock }).await
    }

    /// Runs a node until it has saved all that is there, and cuts Postgres off.
    async fn saved(&self) {
        let node = self.start(true).await;
        let before = std::fs::metadata(&self.file).ok().and_then(|file| file.modified().ok());
        eventually("the directory is saved", SAVED_WITHIN, async || {
            std::fs::metadata(&self.file).is_ok_and(|file| file.modified().ok() != before)
        })
        .await;
        node.stop().await;
        self.proxy.cut();
    }
}

async fn status(client: &Client, id: &str) -> u16 {
    client.post_ids([id]).await.status
}

async fn customers(river: &River) -> (Customer, Customer) {
    (river.customer("uncapped", None).await, river.customer("capped", Some(100)).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_the_uncapped_are_served_and_the_capped_when_it_is_back() {
    let place = Place::new().await;
    let (uncapped, capped) = customers(&place.river).await;
    place.saved().await;
    let node = place.start(false).await;
    assert!(node.knows_keys);
    let client = node.client(&uncapped.key);
    assert_eq!(status(&client, "while-away").await, 202);
    let capped_client = node.client(&capped.key);
    let refused = capped_client.post_ids(["a"]).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
    assert!(refused.headers.contains_key("retry-after"));
    let new = place.river.key(capped.tenant, "default").await;
    let new_client = node.client(&new);
    assert_eq!(new_client.post_ids(["a"]).await.code(), "unavailable", "it may well be a good key");

    place.proxy.mend();
    assert_eq!(status(&client, "before-bound").await, 202);
    assert_eq!(capped_client.post_ids(["a"]).await.status, 503, "the database is not known to be the log's");
    node.bind();
    eventually("the capped are served", Duration::from_secs(10), async || {
        capped_client.post_ids(["a"]).await.status == 202
    })
    .await;
    eventually("new keys are known", Duration::from_secs(10), async || {
        new_client.post_ids(["b"]).await.status == 202
    })
    .await;
    node.stop().await;
    metered(&place.river, &uncapped, 2).await;
    metered(&place.river, &capped, 2).await;
    place.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_revoked_in_between_is_refused_as_soon_as_postgres_says_so() {
    let place = Place::new().await;
    let (uncapped, _) = customers(&place.river).await;
    place.saved().await;
    sqlx::query("UPDATE api_key SET revoked_at = now()").execute(&place.river.stores.pool).await.unwrap();
    let node = place.start(false).await;
    let client = node.client(&uncapped.key);
    assert_eq!(status(&client, "not-known-yet").await, 202);
    place.proxy.mend();
    node.bind();
    eventually("the key is refused", Duration::from_secs(10), async || status(&client, "known").await == 401)
        .await;
    node.stop().await;
    place.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_damaged_old_or_of_another_log_is_not_used() {
    let place = Place::new().await;
    let (uncapped, _) = customers(&place.river).await;
    assert_eq!(place.river.client(&uncapped.key).post_ids(0..10).await.status, 202);
    place.saved().await;

    let nobody_is_served = async |log: &Arc<dyn EventLog>, clock: Clock| {
        let node = place.start_on(log, false, clock).await;
        assert!(!node.knows_keys);
        let refused = node.client(&uncapped.key).post_ids(["a"]).await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
        node.stop().await;
    };
    let stores: &Stores = &place.river.stores;
    let other = LocalConfig::new(stores.folder.path().join("other"), 2);
    let other: Arc<dyn EventLog> = Arc::new(LocalLog::open(other).unwrap());
    nobody_is_served(&other, Clock::system()).await;
    let older = Clock::at(Clock::system().now_micros() + 8 * 86_400_000_000);
    nobody_is_served(&place.river.log, older).await;
    let good = std::fs::read(&place.file).unwrap();
    for at in [0, 15, 30, good.len() / 2, good.len() - 5] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&place.file, &bad).unwrap();
        nobody_is_served(&place.river.log, Clock::system()).await;
    }
    std::fs::write(&place.file, &good[..good.len() - 1]).unwrap();
    nobody_is_served(&place.river.log, Clock::system()).await;
    std::fs::remove_file(&place.file).unwrap();
    nobody_is_served(&place.river.log, Clock::system()).await;

    std::fs::write(&place.file, &good).unwrap();
    let node = place.start(false).await;
    assert!(node.knows_keys, "nothing but the copy was wrong");
    node.stop().await;
    place.river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_is_the_owners_and_holds_no_key() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new().await;
    let (uncapped, _) = customers(&place.river).await;
    place.saved().await;
    assert_eq!(std::fs::metadata(&place.file).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = std::fs::read(&place.file).unwrap();
    let secret = &uncapped.key.as_bytes()[19..];
    assert!(!copy.windows(secret.len()).any(|bytes| bytes == secret));
    place.river.stop().await;
}
