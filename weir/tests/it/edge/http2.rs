//! HTTP/2, by frames put together by hand (RFC 9113).

use std::time::Duration;

use super::raw::{End, Raw};
use super::{Edge, SOON};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// Error codes, RFC 9113, 7.
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;
/// What one connection may have open.
const STREAMS_MAX: u32 = 256;

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as HPACK's plainest literals (RFC 7541, 6.2.2), of at most 126 bytes each.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        for (prefix, text) in [(Some(0), name), (None, value)] {
            bytes.extend(prefix);
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    fields(
        &[&[(":method", method), (":scheme", "http"), (":authority", "weir"), (":path", path)], more]
            .concat(),
    )
}

/// A connection whose settings are agreed on.
pub(super) async fn open(edge: &Edge) -> Raw {
    let mut raw = edge.connect().await;
    raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    raw.send(frame(SETTINGS, 0, 0, &[])).await;
    raw
}

/// Asks for a page.
pub(super) async fn get(raw: &mut Raw, stream: u32) {
    raw.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", "/errors/overloaded", &[])))
        .await;
}

/// The next frame; settings and pings are answered on the way.
async fn next(raw: &mut Raw) -> Option<Frame> {
    loop {
        let rest = raw.rest();
        let len =
            if rest.len() < 9 { usize::MAX - 9 } else { usize::from(rest[1]) << 8 | usize::from(rest[2]) };
        if rest.len() < len + 9 {
            if raw.more(SOON).await? == 0 {
                return None;
            }
            continue;
        }
        let head = raw.take(9);
        let frame_seen = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()),
            payload: raw.take(len),
        };
        match (frame_seen.kind, frame_seen.flags) {
            (SETTINGS, 0) => raw.send(frame(SETTINGS, ACK, 0, &[])).await,
            (PING, 0) => raw.send(frame(PING, ACK, 0, &frame_seen.payload)).await,
            _ => return Some(frame_seen),
        }
    }
}

/// The status of that stream's reply, from HPACK's table of usual ones; 0 if it was reset.
pub(super) async fn status(raw: &mut Raw, stream: u32) -> Option<u16> {
    loop {
        let seen = next(raw).await?;
        match seen.kind {
            HEADERS if seen.stream == stream => {
                return Some(match seen.payload[0] {
                    0x88 => 200,
                    0x8c => 400,
                    0x8d => 404,
                    // A literal of the field `:status`, the three digits as Huffman's code or plain.
                    other => u16::from(other),
                });
            }
            RST_STREAM if seen.stream == stream => return Some(0),
            GOAWAY => return None,
            _ => {}
        }
    }
}

/// The error code of a GOAWAY, or `None` if the connection ends without.
pub(super) async fn until_goaway(raw: &mut Raw) -> Option<u32> {
    loop {
        let seen = next(raw).await?;
        if seen.kind == GOAWAY {
            return Some(u32::from_be_bytes(seen.payload[4..8].try_into().unwrap()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_up_to_the_limit_are_served_at_once_and_one_more_is_refused() {
    let edge = Edge::start(&[("WEIR_REQUEST_DEADLINE_MS", "5000")]).await;
    let mut raw = open(&edge).await;
    let key = format!("Bearer {}", edge.key);
    // Bodies that do not come yet hold the streams open.
    let head = request("POST", "/v1/events", &[("authorization", &key), ("content-length", "13")]);
    let streams = (0..=STREAMS_MAX).map(|number| 2 * number + 1);
    for stream in streams.clone() {
        raw.send(frame(HEADERS, END_HEADERS, stream, &head)).await;
    }
    let refused = loop {
        let seen = next(&mut raw).await.unwrap();
        assert_ne!(seen.kind, GOAWAY, "the others go on");
        if seen.kind == RST_STREAM {
            break seen;
        }
    };
    let code = u32::from_be_bytes(refused.payload[..4].try_into().unwrap());
    assert_eq!((refused.stream, code), (2 * STREAMS_MAX + 1, REFUSED_STREAM));
    for stream in streams.take(256) {
        raw.send(frame(DATA, END_STREAM, stream, br#"{"event":"x"}"#)).await;
    }
    let mut replies = 0;
    while replies < STREAMS_MAX {
        let seen = next(&mut raw).await.unwrap();
        assert_ne!(seen.kind, RST_STREAM);
        replies += u32::from(seen.kind == HEADERS);
    }
    drop(raw);
    edge.assert_as_before().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_opens_streams_and_resets_them_is_sent_away() {
    let edge = Edge::start(&[]).await;
    let mut raw = open(&edge).await;
    let head = request("GET", "/errors/overloaded", &[]);
    let mut flood = Vec::new();
    for number in 0..10_000 {
        let stream = 2 * number + 1;
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &head));
        flood.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    raw.send(flood).await;
    assert_eq!(until_goaway(&mut raw).await, Some(ENHANCE_YOUR_CALM));
    assert_ne!(raw.end(SOON).await.0, End::Open);
    edge.assert_as_before().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_errors_make_the_node_reset_streams_is_sent_away() {
    let edge = Edge::start(&[]).await;
    let mut raw = open(&edge).await;
    // Each stream is opened and then given a window beyond what there is, which is an error of that stream alone.
    const WINDOW_UPDATE: u8 = 8;
    const WHOLE_WINDOW: [u8; 4] = i32::MAX.to_be_bytes();
    let head = request("POST", "/v1/events", &[]);
    for number in 0..5_000 {
        let stream = 2 * number + 1;
        raw.send(
            [frame(HEADERS, END_HEADERS, stream, &head), frame(WINDOW_UPDATE, 0, stream, &WHOLE_WINDOW)]
                .concat(),
        )
        .await;
    }
    assert_eq!(until_goaway(&mut raw).await, Some(ENHANCE_YOUR_CALM));
    edge.assert_as_before().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_end_cost_the_connection_and_nothing_else() {
    let edge = Edge::start(&[]).await;
    let resident = edge.process().resident_bytes();
    // CONTINUATION after CONTINUATION.
    let mut raw = open(&edge).await;
    raw.send(frame(HEADERS, END_STREAM, 1, &request("GET", "/errors/overloaded", &[]))).await;
    let more = frame(CONTINUATION, 0, 1, &fields(&[("x-a", &"a".repeat(120))]).repeat(100));
    for _ in 0..1_000 {
        raw.send(&more).await;
    }
    let (end, _) = raw.end(SOON).await;
    assert_ne!(end, End::Open);
    // Empty ones, which add nothing to the list's size.
    let mut raw = open(&edge).await;
    raw.send(frame(HEADERS, END_STREAM, 1, &request("GET", "/errors/overloaded", &[]))).await;
    for _ in 0..1_000 {
        raw.send(frame(CONTINUATION, 0, 1, &[]).repeat(100)).await;
    }
    let (end, _) = raw.end(SOON).await;
    assert_ne!(end, End::Open);
    // A list that is too large, and comes to its end: that request alone is refused.
    let mut raw = open(&edge).await;
    let large = [request("GET", "/errors/overloaded", &[]), fields(&[("x-a", &"a".repeat(120))]).repeat(200)]
        .concat();
    raw.send(frame(HEADERS, END_STREAM, 1, &large[..16_000])).await;
    raw.send(frame(CONTINUATION, END_HEADERS, 1, &large[16_000..])).await;
    let large = [request("GET", "/errors/overloaded", &[]), fields(&[("x-a", &"a".repeat(120))]).repeat(300)]
        .concat();
    let mut pieces = large.chunks(16_000);
    raw.send(frame(HEADERS, END_STREAM, 3, pieces.next().unwrap())).await;
    let last = pieces.len() - 1;
    for (number, piece) in pieces.enumerate() {
        raw.send(frame(CONTINUATION, if number == last { END_HEADERS } else { 0 }, 3, piece)).await;
    }
    assert_eq!(status(&mut raw, 1).await, Some(200), "of 31 KB, as the list is counted");
    let refused = status(&mut raw, 3).await;
    assert_ne!(refused, Some(200), "of 46 KB");
    edge.assert_as_before().await;
    let grown = edge.process().resident_bytes().saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_settings_and_pings_are_answered_or_cut_and_hold_up_nobody() {
    let edge = Edge::start(&[]).await;
    let resident = edge.process().resident_bytes();
    for flood in [frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[0; 8])] {
        let mut raw = open(&edge).await;
        let flood = flood.repeat(10_000);
        // Its answers are never read.
        let sent = tokio::time::timeout(Duration::from_millis(500), async {
            loop {
                tokio::io::AsyncWriteExt::write_all(&mut raw.stream, &flood).await?;
            }
        });
        let ended: Result<std::io::Result<()>, _> = tokio::join!(sent, edge.assert_serves()).0;
        drop((ended, raw));
    }
    edge.assert_as_before().await;
    let grown = edge.process().resident_bytes().saturating_sub(resident);
    assert!(grown < 16 << 20, "{grown} bytes");
}
