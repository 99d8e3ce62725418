//! What processes do seldom, each as its own database role: a missing right is found here, and not at night.
//!
//! What is proved, repaired, erased and rolled up is done as a processor in the tests of these (`Stores::processor`);
//! leases, spools and outcomes in those of the crate `metering`. The admin API of every river has the rights of its
//! role.

use std::time::Duration;

use eventlog::local::{LocalConfig, LocalLog};
use processor::own;
use service::postgres::Role;
use testkit::Stores;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn every_role_binds_a_database_to_its_log_and_ends_what_its_predecessor_left() {
    let stores = Stores::fresh().await;
    let log = LocalLog::open(LocalConfig::new(stores.folder.path().join("log"), 3)).unwrap();
    for role in Role::ALL {
        own::bind_log(&stores.pool_of(role), &log).await.unwrap();
    }
    metering::lease::end_all(&stores.pool_of(Role::Ingest)).await.unwrap();
    let (pool, node) = (&stores.processor, Uuid::now_v7());
    own::renew(pool, node, LEASE, true).await.unwrap();
    assert_eq!(own::share(pool).await.unwrap(), 3);
    let owned = async || {
        stores.postgres_number("SELECT count(*) FROM partition_cursor WHERE lease_until > now()").await
    };
    assert_eq!(own::acquire(pool, node, LEASE, 2).await.unwrap().len(), 2);
    assert_eq!(own::acquire(pool, Uuid::now_v7(), LEASE, 3).await.unwrap().len(), 1, "what is left");
    own::keep_only(pool, node, &[1]).await.unwrap();
    assert_eq!(owned().await, 2);
    own::leave(pool, node).await.unwrap();
    assert_eq!(owned().await, 1);
    own::end_all(pool).await.unwrap();
    assert_eq!(owned().await, 0);
    assert_eq!(own::acquire(pool, node, LEASE, 9).await.unwrap().len(), 3);
}
