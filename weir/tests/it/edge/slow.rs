//! Clients that take their time, and the limit on connections.

use std::time::{Duration, Instant};

use super::raw::{End, Raw};
use super::{DEADLINE, Edge, SOON};

const BIT: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_cut_at_the_deadline_for_what_it_is_slow_at() {
    let edge = Edge::start(&[]).await;
    tokio::join!(
        silent(&edge),
        slow_header(&edge),
        slow_second_header(&edge),
        slow_body(&edge),
        idle(&edge),
        idle_http2(&edge)
    );
    edge.assert_as_before().await;
    for (why, cuts) in [("header", 3.0), ("idle", 2.0)] {
        let name = format!("weir_http_connections_cut_total{{listener=\"ingest\",why=\"{why}\"}}");
        assert!(edge.metric(&name).await >= cuts, "{name}");
    }
}

/// Connects and says nothing.
async fn silent(edge: &Edge) {
    let mut raw = edge.connect().await;
    let (end, after) = raw.end(SOON).await;
    assert_eq!(end, End::Closed);
    assert!(after >= DEADLINE - BIT && after < 3 * DEADLINE, "{after:?}");
}

/// A byte of the header now and then. There is no reply: nothing was asked.
async fn slow_header(edge: &Edge) {
    let mut raw = edge.connect().await;
    dribble(&mut raw, &edge.request(""), DEADLINE).await;
}

/// As the second request on a connection.
async fn slow_second_header(edge: &Edge) {
    let mut raw = edge.connect().await;
    raw.send(edge.request("")).await;
    assert_eq!(raw.reply().await.unwrap().status, 202);
    dribble(&mut raw, &edge.request(""), DEADLINE).await;
}

/// Until the connection ends, at the deadline.
async fn dribble(raw: &mut Raw, text: &str, deadline: Duration) {
    let started = Instant::now();
    for byte in text.as_bytes() {
        raw.send([*byte]).await;
        let (end, _) = raw.end(BIT).await;
        if end != End::Open {
            assert!(started.elapsed() >= deadline - BIT && raw.rest().is_empty(), "{:?}", started.elapsed());
            return;
        }
        assert!(started.elapsed() < 2 * deadline - BIT, "still open");
    }
    panic!("the header came to its end");
}

/// A byte of the body now and then: 408 at the deadline of the request.
async fn slow_body(edge: &Edge) {
    let mut raw = edge.connect().await;
    raw.send(edge.head("Content-Length: 1000000\r\n")).await;
    let started = Instant::now();
    while raw.rest().is_empty() {
        raw.send("[").await;
        raw.more(BIT).await;
        assert!(started.elapsed() < 3 * DEADLINE, "no reply");
    }
    assert!(started.elapsed() >= DEADLINE - BIT);
    let seen = raw.reply().await.unwrap();
    assert_eq!((seen.status, seen.code().as_str(), seen.says_close()), (408, "request_timeout", true));
}

/// Stays after its reply, and says nothing: closed without a reset.
async fn idle(edge: &Edge) {
    let mut raw = edge.connect().await;
    raw.send(edge.request("")).await;
    assert_eq!(raw.reply().await.unwrap().status, 202);
    let (end, after) = raw.end(SOON).await;
    assert_eq!(end, End::Closed);
    assert!(after >= DEADLINE - BIT && after < 3 * DEADLINE, "{after:?}");
}

/// The same in HTTP/2, which gets GOAWAY.
async fn idle_http2(edge: &Edge) {
    let mut raw = super::http2::open(edge).await;
    super::http2::get(&mut raw, 1).await;
    assert_eq!(super::http2::status(&mut raw, 1).await, Some(200));
    let goaway = super::http2::until_goaway(&mut raw).await;
    assert_eq!(goaway, Some(0), "no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_replies_is_cut() {
    let edge = Edge::start(&[]).await;
    let mut raw = edge.connect().await;
    let request = "GET /errors/overloaded HTTP/1.1\r\nHost: weir\r\n\r\n".repeat(200);
    let started = Instant::now();
    // First the replies fill the buffers of both kernels, then the requests do.
    let blocked = async {
        loop {
            tokio::io::AsyncWriteExt::write_all(&mut raw.stream, request.as_bytes()).await?
        }
    };
    let ended: Result<std::io::Result<()>, _> = tokio::time::timeout(4 * SOON, blocked).await;
    assert!(ended.is_ok_and(|ended| ended.is_err()), "it was not cut");
    assert!(started.elapsed() >= DEADLINE - BIT, "{:?}", started.elapsed());
    edge.assert_as_before().await;
    assert!(edge.metric("weir_http_connections_cut_total{listener=\"ingest\",why=\"write\"}").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_connections_as_many_are_served_as_the_limit_says_and_one_more_waits() {
    const CONNECTIONS: usize = 20;
    let limit = CONNECTIONS.to_string();
    let settings = [("WEIR_CONNECTIONS_MAX", limit.as_str()), ("WEIR_IDLE_DEADLINE_MS", "60000")];
    let edge = Edge::start(&settings).await;
    let mut open = Vec::new();
    while open.len() < CONNECTIONS {
        let mut raw = edge.connect().await;
        raw.send(edge.request("")).await;
        // The first ones may wait for the one that the start of the test has left.
        assert_eq!(raw.reply().await.expect("served within the limit").status, 202);
        open.push(raw);
    }
    let mut waiting = edge.connect().await;
    waiting.send(edge.request("")).await;
    assert_eq!(waiting.more(Duration::from_millis(500)).await, None, "one more than the limit");
    drop(open.pop());
    assert_eq!(waiting.reply().await.expect("served when another has gone").status, 202);
    drop((open, waiting));
    edge.assert_as_before().await;
}
