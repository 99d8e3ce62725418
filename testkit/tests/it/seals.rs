//! What tenants' closed hours hold is sealed, handed out, and proved without weir.

use std::sync::Arc;

use evidence::{Contents, Expected, Receipt, Report, SignedReceipt, SigningKey};
use proof::export::{ExportError, Wanted, export};
use proof::seal::Sealer;
use schemas::id::{EventHash, ProjectId};
use schemas::time::Micros;
use serde_json::json;
use service::clock::Clock;
use testkit::river::{Customer, RiverConfig};
use testkit::{Reply, River};

use crate::erasure::{ask, done, send};
use crate::proof::{Forger, SYNC};
use crate::river::metered;

/// The hours that a test may have events of.
fn hours() -> (Micros, Micros) {
    let now = Micros(Clock::system().now_micros()).hour();
    (Micros(now.0 - Micros::HOUR), Micros(now.0 + Micros::HOUR))
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed(&[7; 32]).unwrap())
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.get(name).map(|value| value.to_str().unwrap())
}

fn sealer(river: &River) -> Sealer {
    let (pool, clickhouse, log) =
        (river.stores.processor.clone(), river.stores.clickhouse(), Arc::clone(&river.log));
    Sealer::new(pool, clickhouse, log, Clock::system(), key())
}

/// Seals all hours up to now. How many seals are made.
pub(crate) async fn seal(river: &River) -> usize {
    let (sealer, mut made) = (sealer(river), 0);
    // Another process may be comparing rows and ledger at the moment.
    testkit::eventually("it is this one's turn", std::time::Duration::from_secs(10), async || {
        let turn = sealer.turn((Micros(0), hours().1)).await.unwrap();
        made += turn.unwrap_or_default();
        turn.is_some()
    })
    .await;
    made
}

async fn pack(river: &River, customer: &Customer, contents: Contents) -> Result<Vec<u8>, ExportError> {
    let (from, to) = hours();
    let wanted = Wanted { tenant: customer.tenant, from, to, contents };
    let mut out = Vec::new();
    export(&river.stores.processor, &river.stores.clickhouse(), &wanted, &mut out).await.map(|_| out)
}

/// What a pack proves to a customer who has the operator's key.
async fn proved(river: &River, customer: &Customer, contents: Contents) -> Report {
    let pack = pack(river, customer, contents).await.unwrap();
    let expected =
        Expected { keys: vec![key().public()], tenant: Some(customer.tenant), ..Expected::default() };
    evidence::verify(pack.as_slice(), &expected).unwrap()
}

/// A river with 100 events of one tenant and 30 of another, all of them sealed.
async fn sealed_river() -> (River, [Customer; 2]) {
    let river = River::start().await;
    let (acme, other) = (river.customer("acme", None).await, river.customer("other", None).await);
    send(&river, &acme.key, "ada", 0..60).await;
    send(&river, &acme.key, "bob", 0..40).await;
    send(&river, &other.key, "ada", 0..30).await;
    metered(&river, &acme, 100).await;
    metered(&river, &other, 30).await;
    // Two, unless an hour began between.
    assert!(seal(&river).await >= 2);
    assert_eq!(seal(&river).await, 0, "all is sealed");
    (river, [acme, other])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_proves_offline_what_was_counted_also_of_late_and_of_erased_events() {
    let (river, [acme, other]) = sealed_river().await;
    for contents in [Contents::Rows, Contents::Hashes] {
        let (report, others) =
            (proved(&river, &acme, contents).await, proved(&river, &other, contents).await);
        assert_eq!((report.events, report.quantity, report.late, others.events), (100, 100, 0, 30));
    }
    let first = proved(&river, &acme, Contents::Rows).await;
    send(&river, &acme.key, "eve", 0..7).await;
    metered(&river, &acme, 107).await;
    let id = ask(&river, "acme", json!({"user_id": "ada"})).await;
    done(&river, "acme", &id).await;
    assert_eq!(
        seal(&river).await,
        1,
        "what came late has a seal of its own, and who was erased changes none"
    );
    let report = proved(&river, &acme, Contents::Rows).await;
    assert_eq!((report.events, report.erased), (107, 60));
    assert_eq!(report.last, first.last + 1);
    let periods: u64 = report.periods.iter().map(|period| period.events).sum();
    assert_eq!(periods, 107);
    let verdict = river.verdict().await;
    assert!(verdict.holds() && verdict.seals >= 3 && verdict.seals_without_rows == 0, "{verdict:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_to_a_seal_is_found() {
    for forgery in [
        "UPDATE hour_seal SET events = events - 1, quantity = quantity - 1",
        "UPDATE hour_seal SET quantity = quantity + 1",
        "UPDATE hour_seal SET root = sha256(root)",
        "UPDATE hour_seal SET hour = hour - interval '1 hour'",
        "UPDATE hour_seal SET period_start = period_start - interval '1 month'",
        "UPDATE hour_seal SET ends[1] = ends[1] - 1",
        "UPDATE hour_seal SET previous = sha256(previous)",
        "UPDATE hour_seal SET hash = sha256(hash)",
        "UPDATE hour_seal SET signature = signature || ''::bytea, number = number + 1",
        "UPDATE hour_seal SET signature = set_byte(signature, 3, 255 - get_byte(signature, 3))",
        "UPDATE hour_seal SET tenant_id = 3 - tenant_id WHERE tenant_id = 1",
        "UPDATE evidence_key SET public_key = sha256(public_key)",
        "UPDATE usage_hour SET stored = stored - 1, duplicate = duplicate + 1",
    ] {
        let (river, _) = sealed_river().await;
        assert!(river.verdict().await.holds());
        // Where both tenants are 1 and 2, one takes over the seal of the other.
        if forgery.contains("tenant_id = 3") {
            sqlx::query("DELETE FROM hour_seal WHERE tenant_id = 2")
                .execute(&river.stores.pool)
                .await
                .unwrap();
        }
        sqlx::query(forgery).execute(&river.stores.pool).await.unwrap();
        let verdict = river.verdict().await;
        assert!(verdict.mismatches.iter().any(|what| what.contains("seal")), "{forgery}: {verdict:?}");
        river.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_sealed_and_changed_since_are_found_whatever_ledger_and_log_say() {
    let (river, [acme, _]) = sealed_river().await;
    let forger = Forger(&river);
    let is = format!(
        "(log_partition, position) IN (SELECT log_partition, position FROM events WHERE tenant_id = {}
                                        ORDER BY log_partition, position LIMIT 1)",
        acme.tenant
    );
    let altered = format!("ALTER TABLE events UPDATE user_id = 'forged' WHERE {is} {SYNC}");
    forger.rows(&altered).await;
    let new = format!(
        "ALTER TABLE events UPDATE content_hash = {} WHERE user_id = 'forged' {SYNC}",
        processor::rows::content_hash_in_sql()
    );
    forger.rows(&new).await;
    let verdict = river.verdict().await;
    assert!(verdict.mismatches.iter().any(|what| what.contains("its rows")), "{verdict:?}");
    let refused = pack(&river, &acme, Contents::Hashes).await.unwrap_err();
    assert!(matches!(refused, ExportError::Rows { .. }), "{refused:?}");
    river.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rows_and_usage_do_not_agree_on_is_not_sealed() {
    for forgery in [
        "ALTER TABLE events UPDATE user_id = 'forged' WHERE user_id = 'ada'",
        "ALTER TABLE events DELETE WHERE event_id = 'ada-0'",
        "ALTER TABLE events UPDATE period_start = period_start - 86400 WHERE event_id = 'ada-0'",
    ] {
        let river = River::start().await;
        let acme = river.customer("acme", None).await;
        send(&river, &acme.key, "ada", 0..20).await;
        metered(&river, &acme, 20).await;
        Forger(&river).rows(&format!("{forgery} {SYNC}")).await;
        let sealer = sealer(&river);
        assert_eq!(sealer.turn((Micros(0), hours().1)).await.unwrap().unwrap_or_default(), 0, "{forgery}");
        assert!(matches!(pack(&river, &acme, Contents::Rows).await, Err(ExportError::NoSeal)));
        river.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_gets_a_signed_receipt_of_what_was_accepted() {
    let config = RiverConfig { evidence_key: Some(key()), ..RiverConfig::default() };
    let river = River::start_with(config).await;
    let acme = river.customer("acme", Some(2)).await;
    let client = river.client(&acme.key);
    let body: Vec<_> = ["b", "a", "b", "c"].iter().map(|id| json!({"id": id, "event": "e"})).collect();
    let asked = [("weir-receipt", "1"), ("content-type", "application/json")];
    let reply = client.send(hyper::Method::POST, "/v1/events", &asked, json!(body).to_string()).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let signed: SignedReceipt = header(&reply, "weir-receipt").unwrap().parse().unwrap();
    assert!(signed.is_by(&key().public()));
    let project = ProjectId(river.stores.postgres_number("SELECT id FROM project").await);
    let Receipt { tenant, project: of, request, received_at, events, digest } = signed.receipt;
    assert_eq!(
        (tenant, of, events),
        (acme.tenant, project, 2),
        "the third is the first again, the quota ends"
    );
    assert_eq!(digest, Receipt::digest_of(["b", "a"].map(|id| EventHash::of(project, id))));
    assert_eq!(Some(uuid::Uuid::from_bytes(request).to_string().as_str()), header(&reply, "x-request-id"));
    metered(&river, &acme, 2).await;
    let at = received_at.0;
    let rows = format!("SELECT count() FROM events WHERE received_at = fromUnixTimestamp64Micro({at})");
    assert_eq!(river.stores.clickhouse_number(&rows).await, 2);
    let without = client.post_json("/v1/events", json!({"id": "a", "event": "e"}).to_string()).await;
    assert_eq!(header(&without, "weir-receipt"), None);
    river.stop().await;
}
