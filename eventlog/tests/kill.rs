//! Kills a process that appends, again and again, on one log: every record whose append succeeded is there
//! once, and no record is there twice.

#![expect(clippy::unwrap_used, reason = "a test, though with a main of its own")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use eventlog::local::{LocalConfig, LocalLog};
use eventlog::{Append, EventLog};

const ROUNDS: usize = 20;
const APPENDERS: usize = 8;
const PARTITIONS: u32 = 2;
const WAIT: Duration = Duration::from_secs(20);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "append-until-killed", dir, round] => runtime.block_on(append_until_killed(dir.as_ref(), round)),
        _ => runtime.block_on(kill_again_and_again(&arguments[0])),
    }
}

fn config(dir: &Path) -> LocalConfig {
    LocalConfig { segment_bytes_max: 64 << 10, disk_free_bytes_min: 0, ..LocalConfig::new(dir, PARTITIONS) }
}

/// Appends records named round.appender.number to both partitions; prints each name when it is durable.
async fn append_until_killed(dir: &Path, round: &str) {
    let log = Arc::new(LocalLog::open(config(dir)).unwrap());
    let appenders = (0..APPENDERS).map(|appender| {
        let (log, round) = (Arc::clone(&log), round.to_owned());
        tokio::spawn(async move {
            for number in 0.. {
                let name = format!("{round}.{appender}.{number}");
                let payload = format!("{name} {}", "x".repeat(number * 97 % 3000));
                let to = |partition| Append { partition, timestamp_ms: 0, payload: payload.clone().into() };
                log.append((0..PARTITIONS).map(to).collect(), WAIT).await.unwrap();
                writeln!(std::io::stdout().lock(), "{name}").unwrap();
            }
        })
    });
    futures_util::future::join_all(appenders.collect::<Vec<_>>()).await;
}

async fn kill_again_and_again(program: &str) {
    let dir = tempfile::TempDir::new().unwrap();
    let mut durable = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(program)
            .args(["append-until-killed", dir.path().to_str().unwrap(), &round.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        durable.extend(lines.by_ref().take(1 + round * 13).map(Result::unwrap));
        child.kill().unwrap();
        child.wait().unwrap();
        durable.extend(lines.map(Result::unwrap));
        check(dir.path(), &durable).await;
    }
    println!("{} records acknowledged before {ROUNDS} kills: each is there once", durable.len());
}

async fn check(dir: &Path, durable: &[String]) {
    let log = LocalLog::open(config(dir)).unwrap();
    for partition in 0..PARTITIONS {
        let end = log.bounds().await.unwrap()[partition as usize].end;
        let mut reader = log.reader(&[(partition, 0)]).await.unwrap();
        let mut times: HashMap<String, usize> = HashMap::new();
        let mut next = 0;
        while next < end {
            for record in reader.read(1 << 20, WAIT).await.unwrap() {
                assert_eq!(record.offset, next);
                next += 1;
                let text = std::str::from_utf8(&record.payload).unwrap();
                *times.entry(text.split(' ').next().unwrap().to_owned()).or_default() += 1;
            }
        }
        assert!(times.values().all(|times| *times == 1));
        for name in durable {
            assert!(times.contains_key(name), "{name} was acknowledged and is not in partition {partition}");
        }
    }
    log.close(WAIT).await;
}
