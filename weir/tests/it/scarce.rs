//! Bodies made to cost much, and a machine that has little.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use testkit::eventually;
use tokio::process::Command;

use crate::process::{Place, Process};

const MIB: u64 = 1 << 20;
/// The defaults of `WEIR_BODY_BYTES_MAX` and `WEIR_INFLATED_BYTES_MAX`.
const BODY_BYTES_MAX: usize = 10 << 20;
const INFLATED_BYTES_MAX: usize = 32 << 20;
/// What a request may take in addition to its body as sent and as inflated.
const GROWTH_MAX: u64 = 16 * MIB;

/// `bytes` zeroes under gzip: a thousandth of it.
fn bomb(bytes: u64) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zeroes = vec![0; 1 << 20];
    for _ in 0..bytes / MIB {
        gzip.write_all(&zeroes).unwrap();
    }
    gzip.finish().unwrap()
}

/// `text` as often as it fits into the largest body, between `open` and `close`.
fn filled(open: &str, text: &str, close: &str) -> String {
    let times = (BODY_BYTES_MAX - open.len() - close.len()) / text.len();
    format!("{open}{}{close}", text.repeat(times))
}

/// An object of as many members as fit, each with a key of its own.
fn members() -> String {
    let mut object = String::from(r#"{"event":"e""#);
    for number in 0.. {
        let member = format!(r#","{number:x}":0"#);
        if object.len() + member.len() + 1 > BODY_BYTES_MAX {
            break;
        }
        object.push_str(&member);
    }
    object.push('}');
    object
}

/// The most memory that the process has held since it was last asked, in bytes.
fn peak(process: &Process) -> u64 {
    let folder = format!("/proc/{}", process.pid());
    let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    // Begins again with what it holds now.
    std::fs::write(format!("{folder}/clear_refs"), "5").unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_body_takes_little_more_memory_than_its_bytes() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let (_, key) = place.customer("hostile", &["--plan", "unlimited"]).await;
    let process = place.start("standalone").await;
    let client = process.client(Some(&key));
    let deep = format!(r#"{{"event":"e","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [(&str, Vec<u8>, u64, u16); 6] = [
        ("100,000 arrays in one another", deep.into(), 0, 400),
        ("arrays in one another", filled(r#"{"event":"e","x":"#, "[", "").into(), 0, 400),
        ("a million keys", members().into(), 0, 413),
        ("bad events", filled("[7", ",7", "]").into(), 0, 400),
        ("escapes", filled(r#"[{"event":""#, r"\u0041", r#""}]"#).into(), 0, 413),
        ("10 GB under gzip", bomb(10 << 30), INFLATED_BYTES_MAX as u64, 413),
    ];
    let mut failures = Vec::new();
    for (what, body, inflated, status) in bodies {
        assert!(body.len() <= BODY_BYTES_MAX, "{what}: {} bytes", body.len());
        let own = body.len() as u64 + inflated;
        let encoding = if inflated > 0 { "gzip" } else { "identity" };
        let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
        for _ in 0..2 {
            let (before, body) = { (resident(&process), body.clone()) };
            peak(&process);
            let reply = client.send(hyper::Method::POST, "/v1/events", &headers, body).await;
            assert_eq!(reply.status, status, "{what}: {reply:?}");
            let growth = peak(&process).saturating_sub(before);
            println!("{what}: {} MiB of its own, grew by {} MiB", own / MIB, growth / MIB);
            if growth > own + GROWTH_MAX {
                failures.push((what, growth));
            }
        }
    }
    assert_eq!(failures, []);
    assert_eq!(client.post_ids(["good"]).await.status, 202);
    assert!(process.stop().await.success());
}

/// What it holds now.
fn resident(process: &Process) -> u64 {
    peak(process);
    peak(process)
}

/// Sets limits of a running process.
async fn limit(process: &Process, limits: &str) {
    let pid = process.pid().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, limits]).status().await.unwrap();
    assert!(set.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_connections_wait_and_nothing_that_was_promised_is_lost() {
    let place = Place::new(None).await;
    place.run(&["migrate"]).await;
    let (tenant, key) = place.customer("scarce", &["--plan", "unlimited"]).await;
    let process = place.start("standalone").await;
    let client = process.client(Some(&key));
    assert_eq!(client.post_ids(0..10).await.status, 202);
    let open = std::fs::read_dir(format!("/proc/{}/fd", process.pid())).unwrap().count();
    limit(&process, &format!("--nofile={}:{}", open + 8, open + 8)).await;

    let address: std::net::SocketAddr = process.url.trim_start_matches("http://").parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
    }
    // The connection that was there before is served all the time.
    for round in 1..20 {
        let reply = client.post_ids(round * 10..round * 10 + 10).await;
        assert!(matches!(reply.status, 202 | 503), "{reply:?}");
        // Two seconds in all, in which the listener runs out of descriptors more than once.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(idle);
    eventually("new connections are served", Duration::from_secs(20), async || {
        let json = [("content-type", "application/json")];
        let fresh = process.client(Some(&key));
        let reply =
            fresh.try_send(hyper::Method::POST, "/v1/events", &json, r#"{"event":"e","id":"last"}"#).await;
        reply.is_ok_and(|reply| reply.status == 202)
    })
    .await;
    assert_eq!(client.post_ids(0..200).await.status, 202);
    eventually("all of it is stored once", Duration::from_secs(60), async || {
        place.run_json(&["usage", &tenant]).await["stored"] == 201
    })
    .await;
    assert_eq!(place.run_json(&["verify"]).await["mismatch_count"], 0);
    assert!(process.stop().await.success());
}
