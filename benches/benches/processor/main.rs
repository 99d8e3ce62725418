//! What `make bench-processor` and `make bench-catch-up` need in addition to weir: a log that is full before the
//! processor starts, and the floor that the processor is held against. Started by `dev/bench/`, which prints the
//! tables.

mod account;
mod fill;
mod row;
mod insert;
mod place;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// As weir's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// What `cargo bench` says: nothing is measured then.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Append what ingest would have appended; prints how much as JSON
    Fill(fill::Fill),
    /// The floor: insert the rows of such a log, ready in memory, and do nothing else; prints what it took as JSON
    Insert(insert::Insert),
}

fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` and `cargo bench` run this too, without a command: then it is enough that it builds.
    let Some(command) = Cli::parse().command else { return Ok(()) };
    // On weir's runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Fill(fill) => fill.carry_out().await,
            Command::Insert(insert) => insert.carry_out().await,
        }
    })
}
