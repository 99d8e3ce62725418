"""`bench-processor` and `bench-catch-up`: a log that is full, and one `weir processor` from its beginning to its end.

bench-processor holds it against ClickHouse's client that inserts the same rows. bench-catch-up lets ten million events
wait, and looks at the processor each second: how fast is it, and does it grow? Both print tables in Markdown.
"""

import dataclasses
import itertools
import shutil
import statistics
import time

import looks
import workspace
from bench import profile
from bench import rig as rigs
from bench.cost import numbers
from bench.table import headline, median, quotients, rows, spread
from console import Problem, say, step
from process import Child, stop_children
from stores import clickhouse
from supervisor import SIGNALS

TENANTS = 10
# As weir makes them.
PARTITIONS = {"local": 1, "kafka": 8}
POLL_SECONDS = 0.05
# Without an event more.
STALLS_AFTER_SECONDS = 60
COUNTED = "weir_processor_events_total"
STAGE_SECONDS = "weir_processor_stage_seconds"
# Of weir's CPU, as a multiple of the floor's, and in seconds a million events.
GOAL_RATIO, GOAL_CPU = 2.0, 4.0
# Of the disk, for each event that waits: its record in the log, its row, and that again while ClickHouse merges.
EVENT_BYTES = 800
LOOK_SECONDS = 1
# That the table of a long run shows.
LINES = 12
# What the processor may grow by from the second third of the time to its end, for memory that is called flat.
FLAT = 0.10


@dataclasses.dataclass
class Look:
    at: float
    counted: int
    rss: int
    ids: int
    # Of the resident memory, as the processor counts it.
    ids_bytes: int
    cpu: float


@dataclasses.dataclass
class Run:
    events: int
    stored: int
    # The last is when all was counted.
    looks: list
    # CPU-seconds of the stores.
    stores: dict
    # Seconds on the clock, by stage.
    stages: dict
    # In which ClickHouse's engine waited for rows.
    received: float
    batches: int
    # Seconds of CPU by stage, and by stage and function.
    profile: tuple

    @property
    def elapsed(self):
        return self.looks[-1].at

    @property
    def cpu(self):
        return self.looks[-1].cpu / self.events * 1e6


class Log:
    """That is filled with what ingest would have left in it, and processed once."""

    def __init__(self, rig, kind, accounts, name, events, batch, duplicates):
        self.rig, self.name = rig, name
        rig.make(name)
        with step(f"filling a log with {events:,} events, {batch} a request"):
            self.filled = rig.floor(
                "fill",
                *self.place(kind),
                *("--partitions", PARTITIONS[kind], "--accounts", ",".join(accounts)),
                *("--events", events, "--batch", batch, "--duplicates", duplicates),
            )
        self.where = self.place(kind)

    def place(self, kind):
        if kind == "kafka":
            return ["--brokers", self.rig.brokers, "--topic", self.name]
        return ["--dir", self.rig.folder / "data" / self.name / "log"]

    def process(self, is_profiled=False):
        """From the log's beginning to its end."""
        spec, ops = self.rig.role("processor", self.name)
        stores, received = self.rig.store_costs(), self.received()
        begun = time.monotonic()
        with SIGNALS.held():
            child = Child(spec)
        try:
            with profile.of(child.pid, self.rig.folder, is_profiled) as profiled:
                child.wait_until_ready()
                seen, found = self.caught_up(child, ops, begun)
                spent = {store: now - stores[store] for store, now in self.rig.store_costs().items()}
        finally:
            stop_children([child])
        stored = int(looks.total(found, COUNTED, 'outcome="stored"'))
        if stored != self.filled["distinct"]:
            raise Problem(f"{stored} events were stored, not {self.filled['distinct']}")
        return Run(
            events=self.filled["events"],
            stored=stored,
            looks=seen,
            stores=spent,
            stages=by_stage(found, f"{STAGE_SECONDS}_sum"),
            received=self.received() - received,
            batches=int(by_stage(found, f"{STAGE_SECONDS}_count")["commit"]),
            profile=profiled.read(seen[-1].cpu),
        )

    def caught_up(self, child, ops, begun):
        """A look each second until all is counted, and what the processor then tells of itself."""
        seen, counted, since = [], -1, time.monotonic()
        while True:
            found = looks.metrics(ops)
            look = look_at(child.pid, begun, found)
            is_done = look.counted >= self.filled["events"]
            if is_done or not seen or look.at - seen[-1].at >= LOOK_SECONDS:
                seen.append(look)
            if is_done:
                return seen, found
            if look.counted > counted:
                counted, since = look.counted, time.monotonic()
            if child.exit_code() is not None:
                raise Problem(f"the processor ended ({child.how_it_ended()})", child.log_tail())
            if time.monotonic() - since > STALLS_AFTER_SECONDS:
                raise Problem(f"the processor stands still at {counted} events", child.log_tail())
            time.sleep(POLL_SECONDS)

    def received(self):
        return clickhouse.costs_of_shim(self.rig.clickhouse_url).get("receiving_seconds", 0.0)

    def client(self, run, *options):
        """The same rows from memory, in as many blocks, by ClickHouse's client: (CPU-seconds a million of it and of
        ClickHouse, rows a second)."""
        database = f"{self.name}_floor"
        self.rig.clickhouse(f"CREATE DATABASE {database} ENGINE = Atomic")
        self.rig.clickhouse(f"CREATE TABLE {database}.events AS {self.name}.events")
        before = self.rig.store_costs()["clickhouse"]
        block = ["--rows", max(1, run.stored // max(1, run.batches))]
        place = ["--url", self.rig.clickhouse_url, "--database", database]
        found = self.rig.floor("insert", *self.where, *options, *place, *block)
        spent = self.rig.store_costs()["clickhouse"] - before
        self.rig.clickhouse(f"DROP DATABASE {database} SYNC")
        count = found["rows"]
        return found["cpu_ms"] * 1e3 / count, spent * 1e6 / count, count * 1e3 / found["elapsed_ms"]


def look_at(pid, begun, found):
    return Look(
        at=time.monotonic() - begun,
        counted=int(looks.total(found, COUNTED)),
        rss=looks.rss_bytes(pid),
        ids=int(looks.total(found, "weir_processor_ids_held")),
        ids_bytes=int(looks.total(found, "weir_processor_ids_memory_bytes")),
        cpu=looks.cpu_seconds(pid),
    )


def by_stage(found, name):
    return {labels.partition('stage="')[2].split('"')[0]: value for each, labels, value in found if each == name}


def accounts(rig):
    """Tenants and projects that the template has from here on."""
    for number in range(TENANTS):
        tenant = rig.weir(rigs.TEMPLATE, "tenant", "create", f"tenant-{number}", "--plan", "unlimited")
        for project in rig.weir(rigs.TEMPLATE, "project", "list", f"tenant-{number}"):
            yield f"{tenant['id']}:{project['id']}"


# bench-processor


def add_arguments(parser):
    parser.add_argument("--events", type=int, default=1_000_000, help="in each log")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured; the median counts")
    parser.add_argument("--batches", type=numbers, default="1,10,100", help="events in a request")
    repeated = "percent of requests that repeat an earlier one"
    parser.add_argument("--duplicates", type=numbers, default="0,10", help=repeated)
    parser.add_argument("--log", choices=PARTITIONS, default="local", help="where the log is")
    parser.add_argument("--profile", action="store_true", help="CPU by stage as well, with perf; costs a little itself")


@dataclasses.dataclass
class Cell:
    """What is measured together; events count duplicates, the clients' rows do not."""

    batch: int
    duplicates: int
    payload_bytes: int = 0
    runs: list = dataclasses.field(default_factory=list)
    checked: list = dataclasses.field(default_factory=list)
    unchecked: list = dataclasses.field(default_factory=list)

    def name(self):
        return [f"{self.batch:,}", f"{self.duplicates} %"]


def run(chosen):
    cells = [Cell(batch, share) for share in chosen.duplicates for batch in chosen.batches]
    with rigs.built("bench-processor", "processor", chosen.log == "kafka") as rig:
        known, names = list(accounts(rig)), (f"log_{number}" for number in itertools.count(1))
        headline()
        for number in range(chosen.rounds):
            for cell in cells:
                log = Log(rig, chosen.log, known, next(names), chosen.events, cell.batch, cell.duplicates)
                cell.payload_bytes = log.filled["payload_bytes"]
                cell.runs.append(found := log.process(chosen.profile))
                cell.checked.append(log.client(found))
                cell.unchecked.append(log.client(found, "--unchecked"))
                rig.drop(log.name)
                say(
                    f"- round {number + 1} of {chosen.rounds}, batches of {cell.batch}, {cell.duplicates} % repeated: "
                    f"{found.events / found.elapsed:,.0f} events/s, {found.cpu:.2f} CPU-s a million; client "
                    f"{cell.checked[-1][0]:.2f}"
                )
    say(f"\n{text(cells, chosen)}")


def text(cells, chosen):
    stages = sorted({stage for cell in cells for run in cell.runs for stage in run.stages})
    stores = list(cells[0].runs[0].stores)
    parts = [
        f"CPU-seconds per million, median of {chosen.rounds}: of weir and of the stores per event, of the floor per "
        f"row. Goals: weir at most {GOAL_CPU:.0f}, and at most {GOAL_RATIO:.0f} times the client that checks types",
        rows(
            ["batch", "duplicates", "events/s", "MB/s", "rows a block", "weir", "floor", "weir / floor"]
            + ["floor, unchecked", *stores, "ClickHouse at the floor", "floor rows/s"],
            (cpu_row(cell, stores) for cell in cells),
        ),
        "Seconds on the clock per million events, by stage, as the processor's own metric has them",
        rows(
            ["batch", "duplicates", *stages, "the shim receives rows", "all, by the clock"],
            (stage_row(cell, stages) for cell in cells),
        ),
    ]
    if chosen.profile:
        parts += ["CPU-seconds per million events, by stage, from samples of its stacks", *profile.tables(cells)]
    return "\n\n".join(parts)


def cpu_row(cell, stores):
    weir = [run.cpu for run in cell.runs]
    checked, clickhouse_at_floor, rows_a_second = zip(*cell.checked, strict=True)
    return [
        *cell.name(),
        median(run.events / run.elapsed for run in cell.runs),
        median(cell.payload_bytes / 1e6 / run.elapsed for run in cell.runs),
        median(run.stored / max(1, run.batches) for run in cell.runs),
        spread(weir),
        spread(checked),
        median(quotients(weir, checked), "{:.2f}x"),
        spread(client[0] for client in cell.unchecked),
        *(median((run.stores[store] / run.events * 1e6 for run in cell.runs), "{:.2f}") for store in stores),
        median(clickhouse_at_floor, "{:.2f}"),
        median(rows_a_second),
    ]


def stage_row(cell, stages):
    def a_million(get):
        return median((get(run) / run.events * 1e6 for run in cell.runs), "{:.2f}")

    by_stages = (a_million(lambda run, stage=stage: run.stages.get(stage, 0)) for stage in stages)
    return [*cell.name(), *by_stages, a_million(lambda run: run.received), a_million(lambda run: run.elapsed)]


# bench-catch-up


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
        log = Log(rig, chosen.log, list(accounts(rig)), "away", chosen.events, chosen.batch, 0)
        with step(f"catching up with {log.filled['events']:,} events"):
            found = log.process()
    last, megabytes = found.looks[-1], log.filled["payload_bytes"] / 1e6
    say(
        f"\n{last.counted:,} events ({megabytes:,.0f} MB of log) waited; caught up after {last.at:.1f} s: "
        f"{last.counted / last.at:,.0f} events/s, {megabytes / last.at:.0f} MB/s, {found.cpu:.2f} CPU-seconds per "
        "million of the processor's own\n"
    )
    say(table_of_looks(found))
    say(f"\n{growth(found.looks)}")


def table_of_looks(run):
    every = max(1, len(run.looks) // LINES)
    chosen = [run.looks[0], *run.looks[every:-1:every], run.looks[-1]]
    lines = []
    for before, look in itertools.pairwise(chosen):
        rate = (look.counted - before.counted) / max(0.001, look.at - before.at)
        megabytes = [f"{look.rss / 1e6:.0f}", f"{look.ids:,}", f"{look.ids_bytes / 1e6:.0f}"]
        lines.append([f"{look.at:.0f}", f"{run.events - look.counted:,}", f"{rate:,.0f}", *megabytes])
    return rows(["s", "behind", "events/s", "RSS MB", "ids held", "MB of memory for them"], lines)


def growth(seen):
    """Of the last third against the second, in which all that is allocated once has been."""
    third = len(seen) // 3
    thirds = seen[third : 2 * third] or seen, seen[2 * third :]
    rss, ids = ([statistics.median(getattr(look, what) for look in part) for part in thirds] for what in ("rss", "ids"))
    grown = rss[1] - rss[0]
    verdict = "flat" if grown <= FLAT * rss[0] else f"grows by {grown / max(1, ids[1] - ids[0]):.0f} bytes an id held"
    medians = f"{rss[0] / 1e6:.0f}, {rss[1] / 1e6:.0f} MB"
    return f"Median RSS of the second third of the time and of the last: {medians}: {verdict}"
