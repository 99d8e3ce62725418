//! What the load generator itself costs, against a server that only reads the body: `cargo bench -p benches
//! --bench generator`. Generator and server have a thread each, whose CPU times the kernel counts apart.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use benches::load::{LoadOptions, LoadReport, run};
use benches::{cpu, floor};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

const CONNECTIONS: u16 = 64;
const DURATION: Duration = Duration::from_secs(3);

/// One line of the table: a name and what is different.
type Variant = (&'static str, fn(&mut LoadOptions));

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs benches too, without this word: there it is enough that they build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let variants: [Variant; 3] = [
        ("plain", |_| ()),
        ("10 % re-sends", |options| options.retry_share = 10),
        ("gzip", |options| options.gzip = true),
    ];
    println!("{CONNECTIONS} connections, closed loop, {DURATION:?} each; CPU in ms per million events");
    println!("batch  variant               events/s   generator      floor   p50 us   p99 us");
    for batch in [1, 10, 100, 1_000] {
        for (name, change) in variants {
            measure(batch, name, change)?;
        }
        let journal = folder.path().join(batch.to_string());
        measure(batch, "journal", |options| options.journal = Some(journal))?;
    }
    Ok(())
}

fn measure(batch: u32, name: &str, change: impl FnOnce(&mut LoadOptions)) -> anyhow::Result<()> {
    let (address_to, address) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = thread::spawn(move || {
        on_this_thread(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            address_to.send(listener.local_addr()?)?;
            floor::serve(listener, batch, async { drop(stopped.await) }).await
        })
    });
    let address: SocketAddr = address.recv()?;
    let mut options = LoadOptions {
        batch,
        connections: CONNECTIONS,
        duration: Some(DURATION),
        ..LoadOptions::to(format!("http://{address}"), "wk_live_bench")
    };
    change(&mut options);
    let generator = thread::spawn(move || on_this_thread(run(options)));
    let (report, generator_ns) =
        generator.join().map_err(|_| anyhow::anyhow!("the generator panicked"))??;
    drop(stop);
    let ((), server_ns) = server.join().map_err(|_| anyhow::anyhow!("the server panicked"))??;
    print(batch, name, &report, generator_ns, server_ns);
    Ok(())
}

fn print(batch: u32, name: &str, report: &LoadReport, generator_ns: u64, server_ns: u64) {
    let per_million = |ns: u64| ns / report.events_accepted.max(1);
    println!(
        "{batch:>5}  {name:<16} {:>13} {:>11} {:>10} {:>8} {:>8}",
        report.events_per_second,
        per_million(generator_ns),
        per_million(server_ns),
        report.latency.p50_us,
        report.latency.p99_us,
    );
}

/// Runs `work` on this thread alone; also returns how much CPU time the thread took.
fn on_this_thread<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(T, u64)> {
    let done = runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)?;
    Ok((done, cpu::thread_ns().context("this bench needs Linux")?))
}
