//! The one binary: every role, and the operator's command line.
//!
//! `weir standalone` is the whole river in one process; `weir ingest`, `processor`, `billing` and `admin` are its
//! parts as processes of their own. All of them start in [`run`], by the same code.

mod cli;
mod config;
mod stores;
mod bind;
mod run;
mod command;
mod load;
mod spool;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use service::config::ConfigError;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What `sysexits.h` has for wrong settings.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
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
