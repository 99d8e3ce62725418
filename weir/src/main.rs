//! The one binary: every role, and the operator's command line.
//!
//! `weir standalone` is the whole river in one process; `weir ingest`, `processor`, `billing` and `admin` are its
//! parts as processes of their own. All of them start in [`life::run`], by the same code.

mod roles;
mod config;
mod life;
mod command;

use std::num::NonZero;
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use service::config::ConfigError;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What `sysexits.h` has for wrong settings.
const EXIT_USAGE: u8 = 64;

/// Ingest alone leaves a third of the cores to librdkafka's threads: more workers than cores are free only wake
/// one another. Nothing is left to choose where the operator has chosen.
fn runtime(only_ingests: bool) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if only_ingests && std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        builder.worker_threads((cores * 2 / 3).max(1));
    }
    builder.enable_all().build()
}

fn main() -> ExitCode {
    let cli = command::Cli::parse();
    match faults::may_start() {
        Ok(None) => {}
        Ok(Some(warning)) => eprintln!("weir: {warning}"),
        Err(why) => {
            eprintln!("weir: {why}");
            return ExitCode::from(EXIT_USAGE);
        }
    }
    life::descriptors::raise();
    let runtime = match runtime(cli.only_ingests()) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("weir: the runtime could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(cli.carry_out());
    // Threads that wait for a disk or a broker must not keep a process alive that has said its last word.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) if error.is::<ConfigError>() => {
            eprintln!("{error}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(error) => {
            eprintln!("weir: {error:#}");
            ExitCode::FAILURE
        }
    }
}
