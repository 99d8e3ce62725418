//! What looking up ids costs, with up to fifty million of them held.
//!
//! `WEIR_BENCH_IDS` says at how many millions to measure (`1,10,50`), `WEIR_BENCH_ROWS` how many millions of rows are
//! read back from the ClickHouse at `WEIR_TEST_CLICKHOUSE_URL` (5; none without that address).

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use processor::fill::open_filled;
use processor::own::Owned;
use processor::stores::ClickHouse;
use schemas::id::{EventHash, Position, ProjectId};
use schemas::time::Micros;
use seen::{IdStores, Seen, SeenIds};
use service::clickhouse::{ClickHouseConfig, client};
use service::config::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn Error>;

const BATCH: u64 = 5_000;
const WINDOW: Duration = Duration::from_hours(7 * 24);
const MEMORY_MAX: u64 = 512 << 20;
const BEGIN: i64 = 20_000 * 24 * Micros::HOUR;
/// New ids and duplicates that are measured at each size.
const MEASURED: u64 = 500_000;
/// New ids a second, and how many, while the longest wait is looked for: fast enough that tables go to disk, and
/// not so fast that one has to wait for the one before.
const PACE: u64 = 250_000;
const PACED: u64 = 2_500_000;

fn main() -> Result<(), Failed> {
    let mut settings = Settings::from_environment();
    let millions = settings.get("WEIR_BENCH_IDS", "1,10,50".to_owned(), "millions of ids, with commas");
    let rows = settings.number("WEIR_BENCH_ROWS", 5, 1..=100, "millions of rows");
    let clickhouse = settings.optional("WEIR_TEST_CLICKHOUSE_URL", "as make stores prints it");
    let mut sizes = Vec::new();
    for size in millions.split(',') {
        sizes.push(size.parse::<u64>()? * 1_000_000);
    }
    measure(&sizes)?;
    match clickhouse {
        Some(url) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(measure_filling(url, rows * 1_000_000))?;
        }
        None => println!("\nWithout WEIR_TEST_CLICKHOUSE_URL nothing is read back."),
    }
    Ok(())
}

/// Ids that are numbered: those of a number are always the same, and spread as hashes are.
fn seen(n: u64, position: u64, spread: u64) -> Seen {
    let half = |seed: u64| {
        let mut x = n.wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(x ^ (x >> 31))
    };
    let hash = EventHash(half(1) << 64 | half(u64::MAX / 3));
    // The window's seven days pass while `spread` ids come.
    let at = u128::from(position) * WINDOW.as_micros() / u128::from(spread);
    let received_at = Micros(BEGIN + i64::try_from(at).unwrap_or(i64::MAX));
    Seen { project: ProjectId(7), hash, position: Position::from_number(position), received_at }
}

/// Wall and CPU time of something, of which the CPU time counts all threads.
#[derive(Default, Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
    longest: Duration,
    events: u64,
}

impl Took {
    fn nanoseconds(&self, of: Duration) -> u128 {
        of.as_nanos() / u128::from(self.events.max(1))
    }
}

/// Gives the store events in batches, and checks its answers.
fn see(
    store: &mut SeenIds,
    ids: impl Iterator<Item = Seen>,
    expected: bool,
    settle: bool,
) -> Result<Took, Failed> {
    let mut took = Took::default();
    let mut ids = ids.peekable();
    let (cpu, wall) = (cpu_time()?, Instant::now());
    let mut batch = Vec::new();
    while ids.peek().is_some() {
        batch.clear();
        batch.extend(ids.by_ref().take(usize::try_from(BATCH)?));
        let began = Instant::now();
        let answers = store.see(&batch)?;
        took.longest = took.longest.max(began.elapsed());
        took.events += batch.len() as u64;
        assert!(answers.iter().all(|duplicate| *duplicate == expected), "a wrong answer");
    }
    took.wall = wall.elapsed();
    if settle {
        store.settle()?;
    }
    took.cpu = cpu_time()?.saturating_sub(cpu);
    Ok(took)
}

fn measure(sizes: &[u64]) -> Result<(), Failed> {
    let folder = tempfile::TempDir::new_in(".")?;
    let largest = sizes.iter().max().copied().unwrap_or(1);
    let spread = largest + MEASURED + PACED;
    let stores = || IdStores::new(folder.path().to_owned(), "bench", 1, WINDOW, MEMORY_MAX);
    let mut first = stores();
    let mut store = first.open(0, 0)?.store;
    store.filled(Position::from_number(1))?;
    println!(
        "Batches of {BATCH}, one partition, memory for ids {} MiB, ids spread over 7 days.\n",
        MEMORY_MAX >> 20
    );
    println!(
        "| ids held | growing to it: CPU, wall | new: CPU, wall | duplicate: CPU, wall | recent duplicate: \
         CPU | longest batch | runs | disk, bytes an id | memory of the store | resident | open |"
    );
    println!("| --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |");
    let mut position = 1;
    for size in sizes {
        let grown = see(&mut store, (position..*size).map(|n| seen(n, n, spread)), false, true)?;
        let new = see(&mut store, (*size..*size + MEASURED).map(|n| seen(n, n, spread)), false, true)?;
        position = size + MEASURED;
        // Steps of a large prime go through all ids, in no order.
        let any = |n: u64| 1 + (n * 15_485_863) % (size - 1);
        let old = see(&mut store, (0..MEASURED).map(|n| seen(any(n), position + n, spread)), true, true)?;
        let recent = (0..MEASURED).map(|n| seen(position - 1 - n % 100_000, position + n, spread));
        let recent = see(&mut store, recent, true, true)?;
        let (runs, disk, memory) = (store.runs(), store.disk_bytes(), first.memory_bytes());
        let held = store.len() as u64;
        store.flush()?;
        drop(store);
        let opening = Instant::now();
        first = stores();
        store = first.open(0, 0)?.store;
        store.filled(Position::from_number(position))?;
        println!(
            "| {held} | {} ns, {} ns | {} ns, {} ns | {} ns, {} ns | {} ns | {} ms | {runs} | {} MB, {}.{} | \
             {} MB | {} MB | {} ms |",
            grown.nanoseconds(grown.cpu),
            grown.nanoseconds(grown.wall),
            new.nanoseconds(new.cpu),
            new.nanoseconds(new.wall),
            old.nanoseconds(old.cpu),
            old.nanoseconds(old.wall),
            recent.nanoseconds(recent.cpu),
            grown.longest.max(new.longest).as_millis(),
            disk / 1_000_000,
            disk / held,
            disk * 10 / held % 10,
            memory / 1_000_000,
            resident_bytes()? / 1_000_000,
            opening.elapsed().as_millis(),
        );
    }
    let paced = see_paced(&mut store, (position..position + PACED).map(|n| seen(n, n, spread)))?;
    println!(
        "\nAt {PACE} new ids a second, {PACED} in all: longest batch {} ms, {} ns CPU an id.",
        paced.longest.as_millis(),
        paced.nanoseconds(paced.cpu)
    );
    Ok(())
}

/// Gives the store new ids at a pace.
fn see_paced(store: &mut SeenIds, mut ids: impl Iterator<Item = Seen>) -> Result<Took, Failed> {
    let mut all = Took::default();
    let began = Instant::now();
    while all.events < PACED {
        std::thread::sleep(Duration::from_millis(all.events * 1_000 / PACE).saturating_sub(began.elapsed()));
        let batch = see(store, ids.by_ref().take(usize::try_from(BATCH)?), false, false)?;
        all.longest = all.longest.max(batch.longest);
        all.events += batch.events;
        all.cpu += batch.cpu;
    }
    Ok(all)
}

/// How long a lost store takes to be filled again.
async fn measure_filling(url: String, rows: u64) -> Result<(), Failed> {
    let database = format!("bench_ids_{}", std::process::id());
    let config = ClickHouseConfig { url, database: database.clone(), user: None, password: None };
    service::migrate::clickhouse(&config).await?;
    let clickhouse = client(&config);
    for from in (0..rows).step_by(1_000_000) {
        clickhouse
            .query(
                "INSERT INTO events (tenant_id, project_id, event_id, event_hash, event, received_at, position)
                 SELECT number % 50, number % 50, toString(number), reinterpretAsUInt128(MD5(toString(number))), 'e',
                        fromUnixTimestamp64Micro(? + intDiv(number * ?, ?)), bitShiftLeft(number, 6)
                 FROM numbers(?, 1000000)",
            )
            .bind(BEGIN)
            .bind(u64::try_from(WINDOW.as_micros())?)
            .bind(rows)
            .bind(from)
            .execute()
            .await?;
    }
    let folder = tempfile::TempDir::new_in(".")?;
    let stores = IdStores::new(folder.path().to_owned(), "bench", 1, WINDOW, MEMORY_MAX);
    let stores = Arc::new(stores);
    let own = Owned { partition: 0, next_offset: rows, epoch: 1, mark: None, ids_generation: 0 };
    let (began, cpu) = (Instant::now(), cpu_time()?);
    let store = open_filled(&stores, &ClickHouse(clickhouse.clone()), &own, Micros(i64::MAX)).await?;
    let (wall, cpu) = (began.elapsed(), cpu_time()?.saturating_sub(cpu));
    let held = store.len() as u64;
    println!(
        "\nFilled from ClickHouse: {held} ids of {rows} rows in {} ms, {} ns an id, of which {} ns CPU of \
         this process.",
        wall.as_millis(),
        wall.as_nanos() / u128::from(held.max(1)),
        cpu.as_nanos() / u128::from(held.max(1)),
    );
    assert_eq!(held, rows, "some are missing");
    drop(store);
    let began = Instant::now();
    let store = open_filled(&stores, &ClickHouse(clickhouse.clone()), &own, Micros(i64::MAX)).await?;
    println!(
        "Opened again, with a gap that is empty: {} ms, {} ids.",
        began.elapsed().as_millis(),
        store.len()
    );
    clickhouse.query(&format!("DROP DATABASE {database}")).execute().await?;
    Ok(())
}

/// CPU time of this process so far, of all its threads.
fn cpu_time() -> Result<Duration, Failed> {
    let mut sum = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        sum += on_cpu(&thread?.path())?;
    }
    Ok(Duration::from_nanos(sum))
}

/// Nanoseconds; the threads of the bench live as long as it does.
fn on_cpu(thread: &Path) -> Result<u64, Failed> {
    let stat = fs::read_to_string(thread.join("schedstat"))?;
    Ok(stat.split(' ').next().ok_or("no time in schedstat")?.parse()?)
}

fn resident_bytes() -> Result<u64, Failed> {
    const PAGE: u64 = 4096;
    let pages = fs::read_to_string("/proc/self/statm")?;
    Ok(pages.split(' ').nth(1).ok_or("no size in statm")?.parse::<u64>()? * PAGE)
}
