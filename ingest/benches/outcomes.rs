//! What it costs to count what became of a request.
//!
//! `cargo bench -p ingest --bench outcomes`

#![allow(clippy::unwrap_used, clippy::float_arithmetic, reason = "a figure that can't be taken ends the run")]

use std::hint::black_box;
use std::time::Instant;

use ingest::outcomes::{Attempt, Outcomes};
use ingest::tenant::Holder;
use mimalloc::MiMalloc;
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::intake::{Intake, Warning};
use schemas::problem::Code;
use schemas::time::Micros;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const ROUNDS: u32 = 5_000_000;
const NOW: Micros = Micros(1_793_871_000_000_000);

fn main() {
    for keys in [1, 100, 10_000] {
        let outcomes = Outcomes::default();
        (0..keys).for_each(|key| accept(&outcomes, key));
        measure(&format!("accepted, one of {keys} keys"), |round| accept(&outcomes, round % keys));
    }
    let outcomes = Outcomes::default();
    measure("accepted, with a warning", |_| {
        let mut attempt = begun(&outcomes, 1);
        attempt.count(Intake::Accepted, 100);
        attempt.count(Intake::Warned(Warning::NoId), 7);
        attempt.settle();
    });
    measure("refused before its events are read", |_| begun(&outcomes, 1).refused(Code::BodyTooLarge));
    measure("nobody's", |_| Attempt::new(black_box(&outcomes)).refused(Code::UnknownKey));
    for threads in [2, 4] {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..ROUNDS).for_each(|_| accept(&outcomes, 1)));
            }
        });
        print_rate(&format!("accepted, one key, {threads} threads at once"), begun, ROUNDS * threads);
    }
}

fn begun(outcomes: &Outcomes, key: u32) -> Attempt<'_> {
    let mut attempt = Attempt::new(black_box(outcomes));
    let key = KeyId::from_number(i64::from(key) * 1_000_003).unwrap();
    let holder = Holder { tenant: TenantId(1), project: ProjectId(1), key };
    attempt.comes_from(black_box(holder), black_box(NOW));
    attempt
}

fn accept(outcomes: &Outcomes, key: u32) {
    let mut attempt = begun(outcomes, key);
    attempt.holds(100);
    attempt.count(Intake::Accepted, 100);
    attempt.settle();
}

fn measure(what: &str, mut work: impl FnMut(u32)) {
    (0..ROUNDS / 10).for_each(&mut work);
    let begun = Instant::now();
    (0..ROUNDS).for_each(work);
    print_rate(what, begun, ROUNDS);
}

fn print_rate(what: &str, begun: Instant, rounds: u32) {
    let nanos = begun.elapsed().as_secs_f64() * 1e9 / f64::from(rounds);
    println!("{what:40} {nanos:7.1} ns");
}
