//! What it costs to know a million keys: memory, a look-up, the headers of a reply, the copy on the disk.
//!
//! `cargo bench -p ingest --bench directory`; other sizes: `-- KEYS TENANTS`.

#![allow(clippy::unwrap_used, clippy::float_arithmetic, reason = "a figure that can't be taken ends the run")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use eventlog::local::{LocalConfig, LocalLog};
use hyper::HeaderMap;
use ingest::allowance;
use ingest::directory::{Directory, DirectoryFile};
use ingest::rate::Rates;
use ingest::tenant::Terms;
use mimalloc::MiMalloc;
use rand::RngExt;
use schemas::address::AddressPolicy;
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::key::{ApiKey, KeyHash, PresentedKey};
use schemas::time::Micros;
use service::clock::Clock;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ROUNDS: usize = 2_000_000;
const MEGABYTE: f64 = 1e6;

fn main() {
    let sizes: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (keys, tenants) = match sizes[..] {
        [keys, tenants] => (keys, tenants),
        _ => (1_000_000, 10_000),
    };
    println!("{keys} keys of {tenants} tenants, each with a rate and a quota");
    let before = resident_bytes();
    let directory = Arc::new(directory(keys, tenants));
    let megabytes = (resident_bytes() - before) / MEGABYTE;
    println!(
        "memory                  {megabytes:8.1} MB   {:.0} bytes a key",
        megabytes * MEGABYTE / f64::from(keys)
    );
    measure_look_up(&directory, keys);
    measure_limits(&directory);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure_copy(&directory));
}

/// Keys with the numbers 0, 1 and so on, spread over the range of ids.
fn directory(keys: u32, tenants: u32) -> Directory {
    let terms = || Terms {
        active: true,
        quota: Some(1_000_000),
        rate: Some(1_000),
        zone: chrono_tz::Tz::UTC,
        client_ip: AddressPolicy::Full,
    };
    let key = |number: u32| (presented(number), TenantId(i64::from(number % tenants)), ProjectId(1));
    Directory::of((0..tenants).map(|id| (TenantId(id.into()), terms())), (0..keys).map(key))
}

fn presented(number: u32) -> PresentedKey {
    let spread = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 5;
    let id = i64::try_from(spread).unwrap();
    let mut hash = [7; 32];
    hash[..8].copy_from_slice(&id.to_le_bytes());
    PresentedKey { id: KeyId::from_number(id).unwrap(), hash: KeyHash(hash) }
}

fn measure_look_up(directory: &Directory, keys: u32) {
    let mut random = rand::rng();
    let wanted: Vec<PresentedKey> = (0..ROUNDS).map(|_| presented(random.random_range(0..keys))).collect();
    let now = Micros(1_795_000_000_000_000);
    // Each key's first use is noted, which is no part of the others.
    for key in &wanted {
        black_box(directory.sender(key, now).unwrap());
    }
    print("look-up of a random key", ROUNDS, || {
        for key in &wanted {
            black_box(directory.sender(key, now).unwrap());
        }
    });
    let few: Vec<PresentedKey> = (0..1_000.min(keys)).map(presented).collect();
    print("of one of a thousand", ROUNDS, || {
        for key in few.iter().cycle().take(ROUNDS) {
            black_box(directory.sender(key, now).unwrap());
        }
    });
    let text = ApiKey::generate();
    print("parse and hash of a key", ROUNDS / 4, || {
        for _ in 0..ROUNDS / 4 {
            black_box(PresentedKey::parse(black_box(text.expose())).unwrap());
        }
    });
}

fn measure_limits(directory: &Directory) {
    let tenant = directory.tenant(TenantId(0)).unwrap();
    let now = Micros(1_795_000_000_000_000);
    print("RateLimit headers", ROUNDS, || {
        for _ in 0..ROUNDS {
            let mut headers = HeaderMap::with_capacity(2);
            allowance::add_headers(&mut headers, &tenant, now);
            black_box(headers);
        }
    });
    for (name, rates) in [("rate, node alone", Rates::new(false)), ("rate, shared", Rates::new(true))] {
        print(name, ROUNDS, || {
            for _ in 0..ROUNDS {
                let _ = black_box(rates.charge(&tenant, 1));
            }
        });
    }
}

async fn measure_copy(directory: &Arc<Directory>) {
    let folder = tempfile::tempdir().unwrap();
    let log = LocalLog::open(LocalConfig::new(folder.path().join("log"), 1)).unwrap();
    let path = folder.path().join("directory");
    let file = DirectoryFile { path: path.clone(), log: Arc::new(log), clock: Clock::system() };
    let begun = Instant::now();
    file.save(directory).await.unwrap();
    let megabytes = std::fs::metadata(path).unwrap().len() / 1_000_000;
    println!("save                    {:8.0} ms   {megabytes} MB", begun.elapsed().as_secs_f64() * 1e3);
    let begun = Instant::now();
    let loaded = Directory::default();
    loaded.load_saved(&file).await.unwrap();
    assert_eq!(loaded.keys(), directory.keys());
    println!("load                    {:8.0} ms", begun.elapsed().as_secs_f64() * 1e3);
}

fn print(name: &str, times: usize, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    let nanos = begun.elapsed().as_secs_f64() * 1e9 / f64::from(u32::try_from(times).unwrap());
    println!("{name:23} {nanos:8.1} ns");
}

/// Of this process, as Linux counts it.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}
