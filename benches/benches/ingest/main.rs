//! The floors that `make bench-ingest` holds `weir ingest` against: each a process of its own, so that the kernel knows
//! what it costs. Started by `dev/bench/`, which prints the tables.

mod parse;
mod produce;
mod sample;

use std::net::SocketAddr;

use benches::floor;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use tokio::net::TcpListener;

/// As weir's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    floor: Option<Floor>,
    /// What `cargo bench` says: nothing is measured then.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Floor {
    /// Serve HTTP, reading bodies only, until killed
    Serve {
        #[arg(long)]
        listen: SocketAddr,
        /// Events in a request, for the reply
        #[arg(long)]
        batch: u32,
    },
    /// From bodies in memory to frames in memory, on one thread; prints nanoseconds an event as JSON
    Parse(parse::Parse),
    /// Append ready-made frames; prints what it took as JSON
    Produce(produce::Produce),
}

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` and `cargo bench` run this too, without a command: then it is enough that it builds.
    match Cli::parse().floor {
        None => Ok(()),
        Some(Floor::Parse(parse)) => parse.carry_out(),
        Some(Floor::Serve { listen, batch }) => on_weirs_runtime(async move {
            let listener = TcpListener::bind(listen).await?;
            floor::serve(listener, batch, std::future::pending()).await
        }),
        Some(Floor::Produce(produce)) => on_weirs_runtime(produce.carry_out()),
    }
}

fn on_weirs_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
