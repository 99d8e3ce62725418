//! One run: processes come, die, are stopped and leave; then nothing fails any more, and everything must come to its
//! end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use processor::dead::budget::Budget;
use processor::run::Fatal;
use processor::{Enricher, Processor, ProcessorConfig};
use service::clock::Clock;
use service::ops::Readiness;
use service::shutdown::{Shutdown, ShutdownTrigger};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::check;
use crate::journal::BEGIN;
use crate::log::Log;
use crate::world::{Handle, LEASE, Mutant, Process, World};

/// For how long things go wrong.
const FAULTY_FOR: Duration = Duration::from_secs(60);
/// How long it may take from then on until all is processed: pauses and leases run out, inserts are waited for.
const DRAINED_WITHIN: Duration = Duration::from_secs(180);
/// How long a processor may take to stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// Machines, each with a disk and a process at most.
const MACHINES: usize = 3;
/// Where disks are, if there is such a place: seeds are many, and what a disk may lose is tested elsewhere.
const MEMORY: &str = "/dev/shm";

/// How a run ended.
pub(crate) struct Run {
    pub(crate) wrong: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) steps: u64,
    pub(crate) digest: u64,
    /// Rows that a zombie has doubled.
    pub(crate) doubled: usize,
    pub(crate) happened: BTreeMap<&'static str, u64>,
}

struct Running {
    process: usize,
    /// On which machine it runs: what is on that disk stays when it dies.
    machine: usize,
    task: JoinHandle<Result<(), Fatal>>,
    stop: ShutdownTrigger,
}

/// Runs `seed` through.
pub(crate) fn run(seed: u64, mutant: Option<Mutant>, is_traced: bool) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(seed, mutant, is_traced);
        let disks = tempfile::tempdir_in(if Path::new(MEMORY).is_dir() { MEMORY } else { "/tmp" }).unwrap();
        world.state().disks = disks.path().to_owned();
        let mut processes = Vec::new();
        go_wrong(&world, &mut processes).await;
        go_right(&world, &mut processes).await;
        let state = &mut *world.state();
        state.table.settle_all();
        let doubled = check::check(state);
        Run {
            wrong: std::mem::take(&mut state.wrong),
            trace: state.trace.take().unwrap_or_default(),
            steps: state.steps,
            digest: state.digest,
            doubled,
            happened: std::mem::take(&mut state.happened),
        }
    })
}

async fn go_wrong(world: &Arc<World>, processes: &mut Vec<Running>) {
    let until = Instant::now() + FAULTY_FOR;
    start(world, processes);
    while Instant::now() < until {
        let (pause, what) = {
            let rng = &mut world.state().rng;
            (rng.millis(1, 4_000), rng.below(10))
        };
        sleep(pause).await;
        bury(world, processes).await;
        match what {
            0 if !processes.is_empty() => {
                let place = world.state().rng.index(processes.len());
                stop(world, processes.swap_remove(place)).await;
            }
            _ if processes.len() < MACHINES && (what < 6 || processes.is_empty()) => start(world, processes),
            _ => {}
        }
    }
}

async fn go_right(world: &Arc<World>, processes: &mut Vec<Running>) {
    {
        let state = &mut *world.state();
        state.faulty = false;
        state.note(99, || "nothing fails any more".to_owned());
    }
    bury(world, processes).await;
    if processes.is_empty() {
        start(world, processes);
    }
    let until = Instant::now() + DRAINED_WITHIN;
    while !is_drained(world) {
        if Instant::now() > until {
            world.state().wrong.push("it is not processed to its end".to_owned());
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    for running in processes.drain(..) {
        stop(world, running).await;
    }
}

fn is_drained(world: &World) -> bool {
    let state = world.state();
    (0..)
        .zip(&state.books.cursors)
        .all(|(partition, cursor)| cursor.next_offset == state.journal.end(partition))
}

fn start(world: &Arc<World>, processes: &mut Vec<Running>) {
    let is_free = |machine: &usize| processes.iter().all(|running| running.machine != *machine);
    let Some(machine) = (0..MACHINES).find(is_free) else { return };
    let (process, config) = {
        let state = &mut *world.state();
        state.processes.push(Process::default());
        let process = state.processes.len() - 1;
        state.note(process, || "starts".to_owned());
        let config = ProcessorConfig {
            lease_time: LEASE,
            batch_bytes_max: 1 << 20,
            batch_events_max: state.rng.range(1, 30) as usize,
            linger: state.rng.millis(0, 300),
            insert_deadline: Duration::from_secs(30),
            dedup_window: Duration::from_hours(7 * 24),
            ids_folder: state.disks.join(machine.to_string()),
            scratch: state.disks.join("proof"),
            ids_memory_max: 1 << 20,
            enricher: Enricher::default(),
            dead: Budget { events_max: 1_000_000, window: Duration::from_hours(1) },
            readiness: Readiness::default(),
            reconcile_every: Duration::ZERO,
            erases: false,
            rolls_up: false,
        };
        (process, config)
    };
    let handle = Handle { world: Arc::clone(world), process };
    let log = Arc::new(Log(handle.clone()));
    let (stop, ordered) = Shutdown::new();
    let processor = Processor::with_stores(handle.clone(), handle, log, Clock::at(BEGIN.0), config);
    let task = tokio::spawn(processor.run(ordered));
    processes.push(Running { process, machine, task, stop });
}

/// Takes away what is left of processes that have died.
async fn bury(world: &World, processes: &mut Vec<Running>) {
    let (mut dead, living) = std::mem::take(processes)
        .into_iter()
        .partition::<Vec<_>, _>(|running| world.state().processes[running.process].is_dead);
    *processes = living;
    for running in &mut dead {
        running.task.abort();
        let _aborted = (&mut running.task).await;
    }
    for place in 0..processes.len() {
        if processes[place].task.is_finished() {
            let running = processes.swap_remove(place);
            let ended = running.task.await;
            world.state().wrong.push(format!("p{} ended by itself: {ended:?}", running.process));
            return;
        }
    }
}

async fn stop(world: &World, running: Running) {
    let Running { process, mut task, stop, .. } = running;
    world.state().note(process, || "is ordered to stop".to_owned());
    stop.order();
    let ended = timeout(STOPPED_WITHIN, &mut task).await;
    {
        let state = &mut *world.state();
        // It may have died on the way, or be held up itself: then it is killed at last.
        let is_dead = std::mem::replace(&mut state.processes[process].is_dead, true);
        if !state.faulty && !is_dead && !matches!(ended, Ok(Ok(Ok(())))) {
            state.wrong.push(format!("p{process} did not stop well: {ended:?}"));
        }
    }
    if ended.is_err() {
        task.abort();
        let _aborted = task.await;
    }
}
