//! What evidence costs: sealing an hour, verifying a pack, and the proof of one event of a large hour.
//!
//! `cargo bench -p evidence --bench seal`; `-- EVENTS` for another hour than one of ten million events.

#![allow(clippy::unwrap_used, clippy::float_arithmetic, reason = "a figure that can't be taken ends the run")]

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use evidence::{
    Body, Contents, Expected, Hash, Header, Leaf, Proof, Prover, Seal, SigningKey, Sought, Tree, Writer,
    verify, verify_proof,
};
use schemas::content::ContentHash;
use schemas::id::{EventHash, Position, ProjectId, TenantId};

const EVENTS: u64 = 10_000_000;
const HOUR: i64 = 3_600;
const PROOFS: u32 = 1_000;

/// The leaf of event `n`: in order, and spread over all hashes.
fn leaf(n: u64, events: u64) -> Leaf {
    let event = u128::from(n) * (u128::MAX / u128::from(events));
    let contents = ContentHash(event.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    Leaf { project: ProjectId(1), event: EventHash(event), contents, quantity: 1 }
}

/// What work took.
#[derive(Clone, Copy)]
struct Took {
    /// Of this thread, by the kernel's count: others on the machine change it little.
    cpu: Duration,
    wall: Duration,
}

fn print(what: &str, took: Took, events: u64) {
    let each = took.cpu.as_secs_f64() * 1e9 / u64::to_string(&events).parse::<f64>().unwrap();
    let (cpu, wall) = (took.cpu.as_secs_f64(), took.wall.as_secs_f64());
    println!("{what:46} CPU {cpu:>7.3} s, wall {wall:>7.3} s, CPU {each:>7.1} ns each");
}

fn timed<T>(work: impl FnOnce() -> T) -> (Took, T) {
    let (started, before) = (Instant::now(), cpu());
    let made = work();
    (Took { cpu: cpu().saturating_sub(before), wall: started.elapsed() }, made)
}

fn cpu() -> Duration {
    let counts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(counts.split_whitespace().next().unwrap().parse().unwrap())
}

fn main() {
    // `cargo test --all-targets` runs benches too, without this word: there it is enough that they build.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let events = asked.unwrap_or(EVENTS);
    println!("{events} events");
    let (made, ()) = timed(|| {
        (0..events).for_each(|n| {
            black_box(leaf(n, events));
        });
    });
    print("making leaves, which is part of the next two", made, events);
    let key = SigningKey::from_seed(&[1; 32]).unwrap();
    let (took, signed) = timed(|| {
        let mut tree = Tree::new();
        (0..events).for_each(|n| tree.push(&leaf(n, events)).unwrap());
        let root = tree.finish().unwrap();
        let (tenant, offsets, previous) = (TenantId(7), vec![events; 16], Hash::NONE);
        key.sign(Seal { tenant, number: 1, hour: HOUR, period: 0, root, offsets, previous })
    });
    print("sealing: tree, root and signature", took, events);
    let is_there = leaf(events / 3, events);
    let mut absent = is_there;
    absent.event.0 += 1;
    for (name, sought) in [("an event", is_there), ("an absent one", absent)] {
        let (took, found) = timed(|| {
            let mut prover = Prover::new(sought.project, sought.event);
            (0..events).for_each(|n| prover.push(&leaf(n, events)).unwrap());
            prover.finish().unwrap().1
        });
        print(&format!("making the proof of {name}, in one pass"), took, events);
        let sought = Sought { project: sought.project, event: sought.event, event_id: None };
        let proof = Proof { signed: signed.clone(), public: key.public(), sought, found };
        let text = serde_json::to_string(&proof).unwrap();
        let expected = Expected { keys: vec![key.public()], ..Expected::default() };
        let (took, ()) = timed(|| {
            (0..PROOFS).for_each(|_| drop(black_box(verify_proof(text.as_bytes(), &expected).unwrap())));
        });
        println!("    {} bytes, verified in {:.1} us", text.len(), (took.cpu / PROOFS).as_secs_f64() * 1e6);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("no VmHWM");
    println!("until here {peak}");
    for contents in [Contents::Hashes, Contents::Rows] {
        pack(contents, events / 20, &key);
    }
}

/// The row of event `n`, as the processor writes them, of about 600 bytes.
fn row(n: u64) -> (EventHash, Vec<u8>) {
    let id = format!("0199b6a2-7f1c-7c55-8b0e-{n:012x}");
    let hash = EventHash::of(ProjectId(1), &id);
    let mut row = [7_i64.to_le_bytes(), 1_i64.to_le_bytes()].concat();
    let text = |row: &mut Vec<u8>, text: &[u8]| {
        row.push(u8::try_from(text.len()).unwrap());
        row.extend_from_slice(text);
    };
    text(&mut row, id.as_bytes());
    row.extend_from_slice(&hash.0.to_le_bytes());
    [&b"track"[..], b"Signed up", &[b'u'; 24], &[b'a'; 36]].iter().for_each(|said| text(&mut row, said));
    let at = HOUR * 1_000_000;
    row.extend_from_slice(&[at.to_le_bytes(), at.to_le_bytes()].concat());
    [&[b'p'; 120], &[b'c'; 120], &[b'e'; 0][..]].iter().for_each(|said| text(&mut row, said));
    row.extend_from_slice(&[0; 16]);
    text(&mut row, &[b'm'; 110]);
    row.extend_from_slice(&[0; 25]);
    row.extend_from_slice(&0_u32.to_le_bytes());
    row.extend_from_slice(&Position::new(n, 0).number().to_le_bytes());
    row.extend_from_slice(&[0; 60]);
    row.extend_from_slice(&0_i64.to_le_bytes());
    (hash, row)
}

/// Writes a pack into memory, and verifies it there.
fn pack(contents: Contents, events: u64, key: &SigningKey) {
    let mut order: Vec<(EventHash, u64)> = (0..events).map(|n| (row(n).0, n)).collect();
    order.sort_unstable();
    let leaf = |event, row: &[u8]| Leaf {
        project: ProjectId(1),
        event,
        contents: ContentHash::of(row),
        quantity: 1,
    };
    let mut tree = Tree::new();
    order.iter().for_each(|&(hash, n)| tree.push(&leaf(hash, &row(n).1)).unwrap());
    let (tenant, root) = (TenantId(7), tree.finish().unwrap());
    let (offsets, previous) = (vec![events; 16], Hash::NONE);
    let signed = key.sign(Seal { tenant, number: 1, hour: HOUR, period: 0, root, offsets, previous });
    let header = Header { tenant, from: 0, to: 2 * HOUR, contents, keys: vec![key.public()] };
    let write = |out: &mut dyn Write| {
        let mut writer = Writer::new(out, header.clone()).unwrap();
        writer.seal(&signed).unwrap();
        for &(hash, n) in &order {
            let row = row(n).1;
            let body = if contents == Contents::Rows { Body::Row(&row) } else { Body::None };
            writer.leaf(&leaf(hash, &row), body).unwrap();
        }
        writer.finish().map(drop).unwrap();
    };
    let mut pack = Vec::new();
    let (took, ()) = timed(|| write(&mut pack));
    print(&format!("making rows and writing {contents:?}, {} bytes", pack.len()), took, events);
    let (took, _) = timed(|| verify(pack.as_slice(), &Expected::default()).unwrap());
    print("verifying them from memory", took, events);
}
