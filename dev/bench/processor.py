"""`bench-processor` and `bench-catch-up`: a log that is full, and one `weir processor` from its beginning to its end.

bench-processor holds it against ClickHouse's client that inserts the same rows. bench-catch-up lets ten million events
wait, and looks at the processor each second: how fast is it, and does it grow? Both print a table in Markdown.
"""

import itertools
import shutil
import time

import looks
import workspace
from bench import rig as rigs
from console import Problem, say
from figures import headline, measured, numbers, thirds

TENANTS = 10
# As weir makes them.
PARTITIONS = {"local": 1, "kafka": 8}
POLL_SECONDS = 0.05
LOOK_SECONDS = 1
# Without an event more.
STALLS_AFTER_SECONDS = 60
STAGE_SECONDS = "weir_processor_stage_seconds"
# Of the disk, for each event that waits: its record in the log, its row, and that again while ClickHouse merges.
EVENT_BYTES = 800
# What the processor may grow by from the second third of the time to its end, for memory that is called flat.
FLAT = 0.10
COSTS = (
    "CPU-seconds per million: of weir and of the stores per event (duplicates too), of the floor per row. Goals: "
    "weir at most 4, and at most twice the floor that checks types. Stages: seconds on the clock per million events"
)
GROWTH = f"Memory of the second third of the time, and of the last: flat if it grows by no more than {FLAT:.0%}"


def add_arguments(parser):
    parser.add_argument("--events", type=int, default=1_000_000, help="in each log")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured; the median counts")
    parser.add_argument("--batches", type=numbers, default="1,10,100", help="events in a request")
    repeated = "percent of requests that repeat an earlier one"
    parser.add_argument("--duplicates", type=numbers, default="0,10", help=repeated)
    parser.add_argument("--log", choices=PARTITIONS, default="local", help="where the log is")


def run(chosen):
    with rigs.built("bench-processor", "processor", chosen.log == "kafka") as rig:
        known, numbered = accounts(rig), itertools.count(1)
        headline()

        def measure(batch, duplicates):
            name = f"log_{next(numbered)}"
            log, filled = fill(rig, chosen.log, name, known, chosen.events, batch, duplicates)
            found, _ = process(rig, name, filled)
            rows = max(1, int(found["rows a block"]))
            floor = insert(rig, name, log, "--rows", rows)
            unchecked = insert(rig, name, log, "--rows", rows, "--unchecked")
            rig.drop(name)
            of_floor = {"floor": floor["floor"], "weir / floor": found["weir"] / floor["floor"]}
            return found | of_floor | {"floor, unchecked": unchecked["floor"]} | floor

        cells = [(batch, share) for share in chosen.duplicates for batch in chosen.batches]
        measured((COSTS, "batch", "duplicates, %"), chosen.rounds, cells, measure)


def add_catch_up_arguments(parser):
    parser.add_argument("--events", type=int, default=10_000_000, help="that wait")
    parser.add_argument("--batch", type=int, default=100, help="events in a request")
    parser.add_argument("--log", choices=PARTITIONS, default="local", help="where the log is")


def catch_up(chosen):
    needed = chosen.events * EVENT_BYTES
    if shutil.disk_usage(workspace.ROOT).free < needed:
        raise Problem(f"{chosen.events:,} events need {needed >> 30} GiB free on the disk: choose fewer with --events")
    with rigs.built("bench-catch-up", "processor", chosen.log == "kafka") as rig:
        headline()

        def measure(events):
            _, filled = fill(rig, chosen.log, "away", accounts(rig), events, chosen.batch, 0)
            found, seen = process(rig, "away", filled)
            for at, counted, rss, (ids, size) in seen[:: max(1, len(seen) // 12)]:
                say(f"{at:>5.0f} s: {counted:,} done, RSS {rss / 1e6:.0f} MB, {ids:,} ids in {size / 1e6:.0f} MB")
            middle, last = thirds([rss for _, _, rss, _ in seen])
            ids, ids_last = thirds([ids for _, _, _, (ids, _) in seen])
            is_flat = last - middle <= FLAT * middle
            verdict = "flat" if is_flat else f"grows by {(last - middle) / max(1, ids_last - ids):.0f} bytes an id held"
            return {"seconds": seen[-1][0], "RSS MB": middle / 1e6, "last": last / 1e6, "memory": verdict} | found

        measured((f"{GROWTH}. {COSTS}", "events"), 1, [(chosen.events,)], measure)


def accounts(rig):
    """Tenants and projects that the template has from here on."""
    found = []
    for number in range(TENANTS):
        tenant = rig.ask(rigs.TEMPLATE, "tenant", "create", f"tenant-{number}", "--plan", "unlimited")
        projects = rig.ask(rigs.TEMPLATE, "project", "list", f"tenant-{number}")
        found += [f"{tenant['id']}:{project['id']}" for project in projects]
    return found


def fill(rig, kind, name, known, events, batch, duplicates):
    """A log with what ingest would have left in it: its place, and what is in it."""
    rig.make(name)
    place = ["--dir", rig.folder / "data" / name / "log"]
    if kind == "kafka":
        place = ["--brokers", rig.environment["KAFKA_BROKERS"], "--topic", name]
    what = ["--events", events, "--batch", batch, "--duplicates", duplicates, "--accounts", ",".join(known)]
    return place, rig.floor("fill", *place, "--partitions", PARTITIONS[kind], *what)


def process(rig, name, filled):
    """From the log's beginning to its end: figures, and looks at the processor."""
    events, before, begun = filled["events"], rig.store_costs(), time.monotonic()
    process_name, listening = rig.serve("processor", name)
    seen, found = caught_up(rig, process_name, listening["ops"], begun, events)
    cpu = {"weir": looks.cpu_seconds(rig.pid(process_name))}
    cpu |= {store: now - before[store] for store, now in rig.store_costs().items()}
    rig.supervisor.end(process_name)
    stored = int(looks.total(found, "weir_processor_events_total", 'outcome="stored"'))
    if stored != filled["distinct"]:
        raise Problem(f"{stored} events were stored, not {filled['distinct']}")
    elapsed, stages = seen[-1][0], by_stage(found, "sum") | {"all, by the clock": seen[-1][0]}
    return {
        "events/s": events / elapsed,
        "MB/s": filled["payload_bytes"] / 1e6 / elapsed,
        "rows a block": stored / max(1, by_stage(found, "count")["commit"]),
        **{what: seconds / events * 1e6 for what, seconds in (cpu | stages).items()},
    }, seen


def caught_up(rig, name, ops, begun, events):
    """A look each second until all is counted (seconds, events, resident bytes, ids and their bytes), and what the
    processor then says of itself."""
    running, seen, counted, since = rig.supervisor.processes[name], [], -1, time.monotonic()
    while counted < events:
        found, now = looks.metrics(ops), time.monotonic()
        if looks.processed(found) > counted:
            counted, since = looks.processed(found), now
        if counted >= events or not seen or now - begun - seen[-1][0] >= LOOK_SECONDS:
            seen.append((now - begun, counted, looks.rss_bytes(running.pid), looks.ids(found)))
        if running.has_ended():
            raise running.problem(f"ended ({running.how_it_ended()})")
        if now - since > STALLS_AFTER_SECONDS:
            raise running.problem(f"stands still at {counted} events")
        time.sleep(POLL_SECONDS)
    return seen, found


def by_stage(found, what):
    name = f"{STAGE_SECONDS}_{what}"
    pairs = ((labels.partition('stage="')[2].split('"')[0], value) for each, labels, value in found if each == name)
    return dict(sorted(pairs))


def insert(rig, name, log, *options):
    """The same rows from memory, by ClickHouse's client: CPU-seconds a million of it and of ClickHouse, rows/s."""
    database = f"{name}_floor"
    rig.clickhouse(f"CREATE DATABASE {database} ENGINE = Atomic")
    rig.clickhouse(f"CREATE TABLE {database}.events AS {name}.events")
    before, url = rig.store_costs()["clickhouse"], rig.environment["CLICKHOUSE_URL"]
    found = rig.floor("insert", *log, "--url", url, "--database", database, *options)
    spent, rows = rig.store_costs()["clickhouse"] - before, found["rows"]
    rig.clickhouse(f"DROP DATABASE {database} SYNC")
    return {
        "floor": found["cpu_ms"] * 1e3 / rows,
        "ClickHouse at the floor": spent * 1e6 / rows,
        "floor rows/s": rows * 1e3 / found["elapsed_ms"],
    }
