//! Walks every world that can come about, nearest first, until one breaks an invariant.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use crate::canonical;
use crate::scheme::{Cursor, Demand, Order, Scheme};
use crate::step::{Step, Walker};
use crate::world::{Scope, Stage, World};

/// What became of a walk.
pub(crate) struct Walk {
    /// How many worlds were seen.
    pub(crate) worlds: usize,
    /// The nearest that breaks an invariant.
    pub(crate) broken: Option<CounterExample>,
}

/// The shortest way to a world that breaks an invariant.
pub(crate) struct CounterExample {
    pub(crate) what: &'static str,
    pub(crate) steps: Vec<Step>,
}

impl fmt::Display for CounterExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "    {step}")?;
        }
        write!(f, "  => {}", self.what)
    }
}

/// Walks all of `scope` with `scheme`.
pub(crate) fn walk(scope: &Scope, scheme: &Scheme) -> Walk {
    let walker = Walker { scope, scheme };
    let mut numbers: HashMap<World, u32, BuildHasherDefault<Mixer>> = HashMap::default();
    let mut worlds = vec![World::new(scope)];
    let mut came: Vec<Option<(u32, Step)>> = vec![None];
    numbers.insert(worlds[0], 0);
    let mut next = Vec::new();
    let mut at = 0;
    while at < worlds.len() {
        let world = worlds[at];
        walker.steps(&world, &mut next);
        let broken = broken(&walker, &world).or_else(|| {
            let stuck = next.is_empty() && walker.cursor(&world) < scope.end();
            stuck.then_some("nothing can happen any more, and the log is not processed")
        });
        if let Some(what) = broken {
            let mut steps = Vec::new();
            let mut place = at;
            while let Some((from, step)) = came[place] {
                steps.push(step);
                place = from as usize;
            }
            steps.reverse();
            return Walk { worlds: worlds.len(), broken: Some(CounterExample { what, steps }) };
        }
        for (step, mut after) in next.drain(..) {
            canonical::make(&mut after, scope, scheme);
            let number = worlds.len() as u32;
            if *numbers.entry(after).or_insert(number) == number {
                worlds.push(after);
                came.push(Some((at as u32, step)));
            }
        }
        at += 1;
    }
    Walk { worlds: worlds.len(), broken: None }
}

/// The invariant that `world` breaks.
fn broken(walker: &Walker<'_>, world: &World) -> Option<&'static str> {
    let Walker { scope, scheme } = walker;
    let raw = match scheme.demand {
        Demand::Raw => true,
        Demand::RawUntilZombie => !world.zombie,
        Demand::Final => false,
    };
    for position in 0..scope.end() {
        let (rows, metered) = (world.rows.of(position), world.books.metered.of(position));
        if metered > 1 {
            return Some("an event is metered twice");
        }
        if metered > 0 && !scope.is_first(position) {
            return Some("a client's retry is metered");
        }
        if rows > 0 && !scope.is_first(position) {
            return Some("a client's retry is stored");
        }
        if raw && rows > 1 {
            return Some("a row is there twice without FINAL");
        }
        let inserts_first = (scheme.order, scheme.cursor) == (Order::InsertThenCommit, Cursor::Postgres);
        if inserts_first && metered > 0 && rows == 0 {
            return Some("an event is metered that is not stored");
        }
    }
    let quiet = world.workers.iter().all(|worker| worker.queue[0].stage == Stage::None);
    if walker.cursor(world) < scope.end() || !quiet {
        return None;
    }
    for position in (0..scope.end()).filter(|position| scope.is_first(*position)) {
        if world.rows.of(position) == 0 {
            return Some("an event is never stored");
        }
        if world.books.metered.of(position) == 0 {
            return Some("an event is never metered");
        }
    }
    None
}

/// A quick hash of a few bytes at a time. What is hashed comes from the model alone.
#[derive(Default)]
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.mix(chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(byte.into());
    }

    fn write_u16(&mut self, word: u16) {
        self.mix(word.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(word.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}
