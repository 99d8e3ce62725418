//! From a weir that stored what letters held at their old positions.

use std::path::Path;

use eventlog::EventLog;
use eventlog::local::{LocalConfig, LocalLog};
use processor::own;
use schemas::id::{Position, TenantId};
use sqlx::migrate::Migrator;
use testkit::Stores;

use super::*;

/// The migration that ends it.
const APPEND_DEAD_LETTERS: i64 = 20_261_130_000_023;

async fn stores_of_the_weir_before() -> Stores {
    let stores = Stores::empty().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres");
    let all = Migrator::new(folder).await.unwrap();
    let before = all.iter().filter(|migration| migration.version < APPEND_DEAD_LETTERS).cloned().collect();
    Migrator::with_migrations(before).run(&stores.pool).await.unwrap();
    stores
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_replayed_where_they_stood_stay_proved_and_one_that_is_being_replayed_stops_the_upgrade() {
    let stores = stores_of_the_weir_before().await;
    let (pool, clickhouse) = (&stores.pool, stores.clickhouse());
    let log = LocalLog::open(LocalConfig::new(stores.folder.path().join("log"), 1)).unwrap();
    let received_at = Micros(Clock::system().now_micros());
    let envelope = Envelope {
        tenant: TenantId(1),
        project: ProjectId(2),
        key: KeyId::from_number(1).unwrap(),
        lease: LeaseId::NONE,
        period_start: received_at.hour().seconds(),
        received_at,
        request_id: Uuid::nil(),
        client_ip: None,
        user_agent: "",
    };
    let raw = frame(&envelope, &["p0", "p1", "p0"]);
    for payload in [&raw[..], b"junk"] {
        let payload = Bytes::copy_from_slice(payload);
        log.append(vec![Append { partition: 0, timestamp_ms: 0, payload }], Duration::from_secs(5))
            .await
            .unwrap();
    }
    own::bind_log(pool, &log).await.unwrap();
    let mut xor = 0;
    for (id, index) in [("p0", 0), ("p1", 1 << 15)] {
        let hash = EventHash::of(envelope.project, id);
        xor ^= hash.low_bits();
        clickhouse
            .query(
                "INSERT INTO events (tenant_id, project_id, event_id, event_hash, received_at, log_partition, position)
                 SELECT 1, 2, ?, toUInt128(?), fromUnixTimestamp64Micro(toInt64(?)), 0, ?",
            )
            .bind(id)
            .bind(hash.0.to_string())
            .bind(received_at.0)
            .bind(Position::new(0, index).number())
            .execute()
            .await
            .unwrap();
    }
    for statement in [
        "UPDATE partition_cursor SET next_offset = 2 WHERE $1 IS NOT NULL AND $2 IS NOT NULL AND $3 IS NOT NULL",
        "INSERT INTO batch_ledger SELECT 0, 0, 2, 2, 1, 1, $3 WHERE $1 IS NOT NULL AND $2 IS NOT NULL",
        "INSERT INTO quota_period SELECT 1, to_timestamp($2), 2 WHERE $1 IS NOT NULL AND $3 IS NOT NULL",
        "INSERT INTO usage_hour SELECT 1, 2, 'events', to_timestamp($2), to_timestamp($2), 2, 1, 0
         WHERE $1 IS NOT NULL AND $3 IS NOT NULL",
        "INSERT INTO dead_letter (partition, position, tenant_id, project_id, events, reason, raw, state,
                                  replay_asked_at, replayed_at, stored, duplicate, more_at, more_events, stored_events)
         SELECT 0, 0, 1, 2, 1, 'unknown', $1, 'replayed', now(), now(), 2, 1, 32768, 2, '\\x03'
         WHERE $2 IS NOT NULL AND $3 IS NOT NULL",
        "INSERT INTO dead_letter (partition, position, events, reason, raw, state, replay_asked_at)
         SELECT 0, 65536, 1, 'unknown', $1, 'asked', now() WHERE $2 IS NOT NULL AND $3 IS NOT NULL",
    ] {
        let hour = received_at.hour().seconds();
        sqlx::query(statement).bind(&raw).bind(hour).bind(xor).execute(pool).await.unwrap();
    }

    let refused = service::migrate::postgres(pool).await.unwrap_err();
    let why = service::error::Chain(&refused).to_string();
    assert!(why.contains("dead letters wait for their replay"), "{why}");
    sqlx::query("UPDATE dead_letter SET state = 'dead' WHERE state = 'asked'").execute(pool).await.unwrap();
    service::migrate::postgres(pool).await.unwrap();
    let letters = letters(&stores, &Which::default()).await;
    assert_eq!((letters[0].state, letters[0].events, letters[0].bytes), (LetterState::Replayed, 3, 0));
    assert_eq!(letters[0].received_at.map(|at| at.timestamp_micros()), Some(received_at.0));
    let verdict = stores.verdict(&log).await;
    assert!(verdict.holds() && verdict.stored == 2 && verdict.dead == 1, "{verdict:?}");
    log.close(Duration::from_secs(5)).await;
}
