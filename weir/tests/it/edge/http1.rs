//! HTTP/1: what is said of a request that is wrong, and that the next one is not mistaken.

use super::raw::End;
use super::{Edge, SOON};

/// How a row's connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It serves the next request.
    Open,
    /// The reply says so, and it is closed.
    Closed,
}
use Then::{Closed, Open};

const EVENT: &str = r#"{"event":"x"}"#;
/// An event in one chunk.
const CHUNKS: &str = "d\r\n{\"event\":\"x\"}\r\n0\r\n\r\n";

/// One row a vector: what it is, its bytes, the status, the code of the problem document (hyper's own refusals have
/// none), and what becomes of the connection.
type Row = (&'static str, String, u16, &'static str, Then);

/// A request whose body has no length.
fn chunked(edge: &Edge, body: &str) -> String {
    edge.head("Transfer-Encoding: chunked\r\n") + body
}

/// A request with another first line.
fn start(edge: &Edge, line: &str) -> String {
    edge.request("").replace("POST /v1/events HTTP/1.1", line)
}

fn transfer_encodings(edge: &Edge) -> Vec<Row> {
    let smuggled = format!("{CHUNKS}GET /errors/smuggled HTTP/1.1\r\nHost: weir\r\n\r\n");
    let both = |lines: &str| edge.head(lines) + &smuggled;
    vec![
        // A request with both lengths is read by its chunks and is the connection's last, as RFC 9112, 6.1
        // has it: what a proxy took for its body is never taken for a request.
        ("CL, then TE", both("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), 202, "", Closed),
        ("TE, then CL", both("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"), 202, "", Closed),
        (
            "TE, hidden, then CL",
            both("tRaNsFeR-eNcOdInG: \tchunked\r\nContent-Length: 4\r\n"),
            202,
            "",
            Closed,
        ),
        ("TE that is not known", edge.head("Transfer-Encoding: xchunked\r\n") + CHUNKS, 400, "", Closed),
        (
            "TE in which chunked is not the last",
            edge.head("Transfer-Encoding: chunked, gzip\r\n") + CHUNKS,
            400,
            "",
            Closed,
        ),
        (
            "TE twice, the last not chunked",
            edge.head("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n") + CHUNKS,
            400,
            "",
            Closed,
        ),
        (
            "TE in HTTP/1.0",
            start(edge, "POST /v1/events HTTP/1.0")
                .replace("Content-Length: 13", "Transfer-Encoding: chunked"),
            400,
            "",
            Closed,
        ),
    ]
}

fn lengths(edge: &Edge) -> Vec<Row> {
    let lengths = |one: &str, other: &str| {
        edge.head(&format!("Content-Length: {one}\r\nContent-Length: {other}\r\n")) + EVENT
    };
    vec![
        ("two lengths that differ", lengths("13", "14"), 400, "", Closed),
        ("two lengths that are the same", lengths("13", "13"), 202, "", Open),
        ("two lengths in one field", edge.head("Content-Length: 13, 13\r\n") + EVENT, 400, "", Closed),
        ("a length with a sign", edge.head("Content-Length: +13\r\n") + EVENT, 400, "", Closed),
        ("a length below zero", edge.head("Content-Length: -1\r\n") + EVENT, 400, "", Closed),
        ("a length in hexadecimal", edge.head("Content-Length: 0xd\r\n") + EVENT, 400, "", Closed),
        (
            "a length beyond 64 bits",
            edge.head("Content-Length: 18446744073709551616\r\n") + EVENT,
            400,
            "",
            Closed,
        ),
        (
            "a length beyond the limit",
            edge.head("Content-Length: 10485761\r\n"),
            413,
            "body_too_large",
            Closed,
        ),
    ]
}

fn chunks(edge: &Edge) -> Vec<Row> {
    let chunked = |body: &str| chunked(edge, body);
    vec![
        ("a good request", edge.request(""), 202, "", Open),
        ("a good request in chunks", chunked(CHUNKS), 202, "", Open),
        ("a chunk size that is none", chunked("zz\r\n{}\r\n0\r\n\r\n"), 400, "invalid_batch", Closed),
        ("a chunk size beyond 64 bits", chunked("fffffffffffffffff\r\n{}"), 400, "invalid_batch", Closed),
        ("a chunk size with a sign", chunked("-1\r\n{}\r\n0\r\n\r\n"), 400, "invalid_batch", Closed),
        (
            "a chunk that is longer than it says",
            chunked("2\r\n{}}}\r\n0\r\n\r\n"),
            400,
            "invalid_batch",
            Closed,
        ),
        (
            "a chunk's extension without end",
            chunked(&format!("d;{}", "x".repeat(20_000))),
            400,
            "invalid_batch",
            Closed,
        ),
    ]
}

fn fields(edge: &Edge) -> Vec<Row> {
    vec![
        ("a folded field", edge.request("X-A: a\r\n b\r\n"), 400, "", Closed),
        ("a space before the colon", edge.request("X-A : a\r\n"), 400, "", Closed),
        ("NUL in a value", edge.request("X-A: a\0b\r\n"), 400, "", Closed),
        ("NUL in a name", edge.request("X-\0A: a\r\n"), 400, "", Closed),
        ("CR alone in a value", edge.request("X-A: a\rb\r\n"), 400, "", Closed),
        ("a field without a colon", edge.request("X-A\r\n"), 400, "", Closed),
        ("100 fields", edge.request(&"X-A: a\r\n".repeat(100 - 3)), 202, "", Open),
        ("101 fields", edge.request(&"X-A: a\r\n".repeat(101 - 3)), 431, "", Closed),
        ("a header of 32,768 bytes", header_of(edge, 32_768), 202, "", Open),
        ("a header of 32,769 bytes", header_of(edge, 32_769), 431, "", Closed),
    ]
}

fn first_lines(edge: &Edge) -> Vec<Row> {
    let start = |line: &str| start(edge, line);
    let without_host =
        |version: &str| start(&format!("POST /v1/events {version}")).replace("Host: weir\r\n", "");
    let with_host = |host: &str| edge.request("").replace("Host: weir\r\n", &format!("Host: {host}\r\n"));
    vec![
        ("absolute form", start("POST http://elsewhere/v1/events HTTP/1.1"), 202, "", Open),
        ("no Host", without_host("HTTP/1.1"), 400, "invalid_argument", Open),
        ("two Hosts", edge.request("Host: other\r\n"), 400, "invalid_argument", Open),
        ("a Host with nothing in it", with_host(""), 400, "invalid_argument", Open),
        ("a Host with a port alone", with_host(":80"), 400, "invalid_argument", Open),
        ("a Host with a user", with_host("user@weir"), 400, "invalid_argument", Open),
        ("a Host with a path", with_host("weir/v1"), 400, "invalid_argument", Open),
        ("a Host with a port", with_host("weir:7400"), 202, "", Open),
        ("HTTP/1.0, which needs no Host", without_host("HTTP/1.0"), 202, "", Closed),
        (
            "HTTP/1.0 that wants to stay",
            start("POST /v1/events HTTP/1.0\r\nConnection: keep-alive"),
            202,
            "",
            Open,
        ),
        ("HTTP/0.9", "GET /\r\n\r\n".to_owned(), 400, "", Closed),
        ("HTTP/1.2", start("POST /v1/events HTTP/1.2"), 400, "", Closed),
        ("HTTP/2.0 in HTTP/1's form", start("POST /v1/events HTTP/2.0"), 400, "", Closed),
        ("two spaces", start("POST  /v1/events HTTP/1.1"), 400, "", Closed),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned() + &"x".repeat(600), 400, "", Closed),
        ("CONNECT", "CONNECT weir:443 HTTP/1.1\r\nHost: weir:443\r\n\r\n".to_owned(), 404, "not_found", Open),
        ("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: weir\r\n\r\n".to_owned(), 404, "not_found", Open),
        (
            "an upgrade that nobody offers",
            edge.request("Connection: upgrade\r\nUpgrade: websocket\r\n"),
            202,
            "",
            Open,
        ),
    ]
}

/// What is refused before its body is read, and what is not.
fn bodies(edge: &Edge) -> Vec<Row> {
    let key = &edge.key;
    vec![
        (
            "a small body that nobody reads",
            edge.request("").replace(key, "wk_live_x"),
            401,
            "malformed_key",
            Open,
        ),
        ("a large body that nobody reads", refused_with_body(20_000), 401, "missing_key", Closed),
        ("an expectation that nobody knows", edge.request("Expect: a-miracle\r\n"), 202, "", Open),
    ]
}

/// A request whose header has that many bytes.
fn header_of(edge: &Edge, bytes: usize) -> String {
    let len = edge.request("X-A: \r\n").len() - EVENT.len();
    edge.request(&format!("X-A: {}\r\n", "a".repeat(bytes - len)))
}

fn refused_with_body(bytes: usize) -> String {
    let next = "GET /errors/smuggled HTTP/1.1\r\nHost: weir\r\n\r\n";
    let body = next.repeat(bytes / next.len());
    format!("POST /v1/events HTTP/1.1\r\nHost: weir\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_vector_of_http1_gets_its_reply_and_the_next_request_is_not_mistaken() {
    let edge = Edge::start(&[]).await;
    let resident = edge.process().resident_bytes();
    let groups = [transfer_encodings, lengths, chunks, fields, first_lines, bodies];
    let vectors = groups.iter().flat_map(|group| group(&edge));
    for (what, bytes, status, code, then) in vectors {
        let mut raw = edge.connect().await;
        raw.send(&bytes).await;
        let seen = raw.reply().await.unwrap_or_else(|| panic!("{what}: no reply"));
        assert_eq!((seen.status, seen.code().as_str()), (status, code), "{what}: {seen:?}");
        assert_eq!(
            seen.says_close() || seen.version == "HTTP/1.0" && then == Closed,
            then == Closed,
            "{what}: {seen:?}"
        );
        if then == Open {
            raw.send(edge.request("")).await;
            let next = raw.reply().await.unwrap_or_else(|| panic!("{what}: no next reply"));
            assert_eq!(next.status, 202, "{what}: {next:?}");
        } else {
            let (end, _) = raw.end(SOON).await;
            assert_eq!(
                (end, raw.rest()),
                (End::Closed, &b""[..]),
                "{what}: closed, without a reset or another reply"
            );
        }
    }
    edge.assert_as_before().await;
    let grown = edge.process().resident_bytes().saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_their_order() {
    let edge = Edge::start(&[]).await;
    let mut raw = edge.connect().await;
    let requests = [
        edge.request(""),
        edge.request("").replace("/v1/events", "/nowhere"),
        edge.request("Host: other\r\n"),
    ];
    raw.send(requests.concat().repeat(10)).await;
    for round in 0..10 {
        for status in [202, 404, 400] {
            assert_eq!(raw.reply().await.unwrap().status, status, "round {round}");
        }
    }
    edge.assert_as_before().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_a_100_gets_it_or_a_refusal_before_the_body() {
    let edge = Edge::start(&[]).await;
    let mut raw = edge.connect().await;
    raw.send(edge.head("Expect: 100-continue\r\nContent-Length: 13\r\n")).await;
    assert_eq!(raw.reply().await.unwrap().status, 100);
    raw.send(EVENT).await;
    assert_eq!(raw.reply().await.unwrap().status, 202);

    for (lines, key, status) in [
        ("Content-Length: 13\r\n", "", 401),
        ("Content-Length: 13\r\nContent-Encoding: lzw\r\n", edge.key.as_str(), 415),
        ("Content-Length: 10485761\r\n", edge.key.as_str(), 413),
    ] {
        let head = edge.head(&format!("Expect: 100-continue\r\n{lines}")).replace(&edge.key, key);
        let mut raw = edge.connect().await;
        raw.send(head).await;
        let seen = raw.reply().await.unwrap();
        assert_eq!((seen.status, seen.says_close()), (status, true), "{seen:?}");
        assert_eq!(raw.end(SOON).await.0, End::Closed);
    }
    edge.assert_as_before().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_all_of_a_refused_body_before_it_reads_gets_the_reply() {
    let edge = Edge::start(&[]).await;
    let mut raw = edge.connect().await;
    raw.send(edge.head(&format!("Content-Length: {}\r\n", 10_485_761))).await;
    // Blocks until it has all been taken, or the connection is reset.
    raw.send(vec![b' '; 10_485_761]).await;
    let seen = raw.reply().await.expect("a reset has overtaken the reply");
    assert_eq!((seen.status, seen.code().as_str(), seen.says_close()), (413, "body_too_large", true));
    assert_eq!(raw.end(SOON).await.0, End::Closed);
    edge.assert_as_before().await;
}
