//! What is scarce: connections to Postgres, and places for exports. Who takes much keeps none from others.

use std::time::Duration;

use admin_api::Pools;
use hyper::Method;
use testkit::eventually;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{House, OPERATOR_TOKEN};

const PATIENCE: Duration = Duration::from_secs(30);

/// A request that gets no connection is answered 503.
async fn is_answered(house: &House, token: &str) {
    let reply = house.client(Some(token)).send(Method::GET, "/v1/tenants/me", &[], "").await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// An export whose client reads the header, and then nothing.
async fn slow_export(house: &House, token: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "GET /v1/tenants/me/audit/export HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        header.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(header).unwrap(), stream)
}

/// Gives each tenant entries of its audit: more than all buffers between the two ends of a connection hold.
async fn fill_audits(house: &House) {
    sqlx::raw_sql(
        "INSERT INTO audit_entry (chain, seq, tenant_id, id, at, actor, action, target, after, hash)
         SELECT h.chain, h.seq + n, h.chain, gen_random_uuid(), now(), 'system', 'test', 't', repeat('x', 16000),
             decode(repeat('00', 32), 'hex')
         FROM audit_head h, generate_series(1, 2000) n WHERE h.chain > 0;
         UPDATE audit_head SET seq = seq + 2000 WHERE chain > 0",
    )
    .execute(&house.database.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn slow_readers_of_exports_keep_no_connection_and_a_tenant_has_two_of_them() {
    let house = House::with_stores(&[], 2, "http://127.0.0.1:1").await;
    for email in ["ada@example.com", "zoe@example.com"] {
        house.person(email).await;
    }
    fill_audits(&house).await;
    let (ada, zoe) = (house.login("ada@example.com").await, house.login("zoe@example.com").await);
    let mut open = Vec::new();
    for _ in 0..2 {
        let (header, stream) = slow_export(&house, &ada).await;
        assert!(header.starts_with("HTTP/1.1 200"), "{header}");
        open.push(stream);
    }
    let (header, _) = slow_export(&house, &ada).await;
    assert!(header.starts_with("HTTP/1.1 429") && header.contains("retry-after: 10"), "{header}");
    let (header, of_another) = slow_export(&house, &zoe).await;
    assert!(header.starts_with("HTTP/1.1 200"), "{header}");
    let pool = &house.pools.tenants;
    let is_idle = async || pool.num_idle() == pool.size() as usize;
    eventually("the exports keep no connection", PATIENCE, is_idle).await;
    for token in [&ada, &zoe] {
        is_answered(&house, token).await;
    }
    drop(open);
    eventually("a place is free", PATIENCE, async || {
        slow_export(&house, &ada).await.0.starts_with("HTTP/1.1 200")
    })
    .await;
    drop(of_another);
    let whole = house.client(Some(&zoe)).send(Method::GET, "/v1/tenants/me/audit/export", &[], "").await;
    assert_eq!(whole.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() / 1_000, 2);
    house.stop().await;
}

#[tokio::test]
async fn an_export_breaks_off_when_its_session_ends() {
    let house = House::with(&[]).await;
    house.person("ada@example.com").await;
    fill_audits(&house).await;
    let ada = house.login("ada@example.com").await;
    let (header, mut stream) = slow_export(&house, &ada).await;
    assert!(header.starts_with("HTTP/1.1 200"), "{header}");
    let client = house.client(Some(&ada));
    assert_eq!(client.send(Method::POST, "/v1/auth/logout", &[], "").await.status, 204);
    let mut rest = Vec::new();
    // The connection ends without the last chunk.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "all of it came");
    let lines = rest.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines < 2_000, "{lines}");
    house.stop().await;
}

#[tokio::test]
async fn who_waits_for_clickhouse_keeps_no_connection_to_postgres() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let house = House::with_stores(&[], 1, &url).await;
    house.person("ada@example.com").await;
    let token = house.login("ada@example.com").await;
    let asks = (0..3).map(|_| {
        let client = house.client(Some(&token));
        let path = "/v1/tenants/me/usage?group=event";
        tokio::spawn(async move { client.send(Method::GET, path, &[], "").await.status })
    });
    let asks: Vec<_> = asks.collect();
    // They are asked, and never answer.
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(tokio::time::timeout(PATIENCE, silent.accept()).await.unwrap().unwrap());
    }
    is_answered(&house, &token).await;
    assert!(asks.iter().all(|ask| !ask.is_finished()), "each waits for ClickHouse");
    drop((asked, silent));
    for ask in asks {
        assert_eq!(ask.await.unwrap(), 503);
    }
    house.stop().await;
}

#[tokio::test]
async fn whatever_tenants_do_operators_get_in() {
    let house = House::with(&[]).await;
    let Pools { tenants, operators } = &house.pools;
    let mut taken = Vec::new();
    for _ in 0..tenants.options().get_max_connections() {
        taken.push(tenants.acquire().await.unwrap());
    }
    assert!(operators.options().get_max_connections() < tenants.options().get_max_connections());
    for path in ["/v1/operator/tenants", "/v1/operator/people", "/v1/operator/status"] {
        let operator = testkit::Client::new(house.operators, Some(OPERATOR_TOKEN));
        let reply = operator.send(Method::GET, path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    drop(taken);
    house.stop().await;
}
