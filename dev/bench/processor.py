"""The measurements: a log that is full, one `weir processor` from its beginning to its end, then the floor."""

import dataclasses
import itertools
import time

import ports
from bench import profile, program
from console import Problem, say, step
from process import Child, stop_children
from soaking.sample import metrics, total
from stores import clickhouse
from supervisor import SIGNALS

POLL_SECONDS = 0.05
# Without an event more.
STALLS_AFTER_SECONDS = 60
STAGE_SUM = "weir_processor_stage_seconds_sum"
STAGE_COUNT = "weir_processor_stage_seconds_count"
COUNTED = "weir_processor_events_total"
FLOORS = {"checked": [], "unchecked": ["--unchecked"]}


@dataclasses.dataclass
class Cell:
    """What is measured together; `events` counts duplicates, the floors' rows do not."""

    batch: int
    duplicates: int
    filled: dict = dataclasses.field(default_factory=dict)
    runs: list = dataclasses.field(default_factory=list)
    floors: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Run:
    events: int
    stored: int
    elapsed: float
    cpu: float
    stores: dict
    # Seconds on the clock, by stage; `received` is a part of the insert, in which ClickHouse's engine waits.
    stages: dict
    received: float
    batches: int
    # Seconds of CPU from samples of its threads' stacks: by stage, and by stage and innermost function.
    profile: tuple = None


class Bench:
    def __init__(self, rig, chosen):
        self.rig, self.chosen = rig, chosen
        self.numbers = itertools.count(1)
        self.cells = [Cell(batch, share) for share in chosen.duplicates for batch in chosen.batches]

    def measure(self):
        for number in range(self.chosen.rounds):
            for cell in self.cells:
                self.round(cell)
                say(f"- round {number + 1} of {self.chosen.rounds}, {self.last(cell)}")

    def round(self, cell):
        name = f"log_{next(self.numbers)}"
        self.rig.make(name)
        with step(f"filling a log with {self.chosen.events:,} events, {cell.batch} a request"):
            cell.filled = self.rig.fill(name, self.chosen.events, cell.batch, cell.duplicates)
        run = self.process(name, cell.filled)
        cell.runs.append(run)
        cell.floors.append({floor: self.floor(name, run, options) for floor, options in FLOORS.items()})
        self.rig.drop(name)

    def process(self, name, filled):
        """From the log's beginning to its end."""
        (ops,) = ports.choose(1)
        stores, received = self.rig.cpu_seconds(), self.received()
        begun = time.monotonic()
        with SIGNALS.held():
            child = Child(self.rig.processor(name, ops))
        try:
            with profile.of(child.pid, self.rig.folder, self.chosen.profile) as profiled:
                child.wait_until_ready()
                found = caught_up(child, ops, filled["events"])
                elapsed, cpu = time.monotonic() - begun, program.cpu_seconds(child.pid)
                spent = {store: now - stores[store] for store, now in self.rig.cpu_seconds().items()}
        finally:
            stop_children([child])
        stored = int(total(found, COUNTED, 'outcome="stored"'))
        if stored != filled["distinct"]:
            raise Problem(f"{stored} events were stored, not {filled['distinct']}")
        return Run(
            events=filled["events"],
            stored=stored,
            elapsed=elapsed,
            cpu=cpu,
            stores=spent,
            stages=by_stage(found, STAGE_SUM),
            received=self.received() - received,
            batches=int(by_stage(found, STAGE_COUNT)["commit"]),
            profile=profiled.read(cpu),
        )

    def floor(self, name, run, options):
        """The same rows from memory, in as many blocks."""
        floor = f"{name}_floor"
        self.rig.query(f"CREATE DATABASE {floor} ENGINE = Atomic")
        self.rig.query(f"CREATE TABLE {floor}.events AS {name}.events")
        before = self.rig.cpu_seconds()["clickhouse"]
        rows = max(1, run.stored // max(1, run.batches))
        url = self.rig.clickhouse_url
        found = self.rig.run_floor(
            "insert", *self.rig.place(name), *options, "--url", url, "--database", floor, "--rows", rows
        )
        found["clickhouse"] = self.rig.cpu_seconds()["clickhouse"] - before
        self.rig.query(f"DROP DATABASE {floor} SYNC")
        return found

    def received(self):
        return clickhouse.costs_of_shim(self.rig.clickhouse_url).get("receiving_seconds", 0.0)

    @staticmethod
    def last(cell):
        run, floor = cell.runs[-1], cell.floors[-1]["checked"]
        return (
            f"batches of {cell.batch}, {cell.duplicates} % duplicates: {run.events / run.elapsed:,.0f} events/s, "
            f"{run.cpu / run.events * 1e6:.2f} CPU-s a million; floor {floor['cpu_ms'] / floor['rows'] * 1e3:.2f}"
        )


def caught_up(child, ops, events, on_look=lambda found: None):
    """What the processor tells of itself once it has counted so many events; `on_look` is told of each look before."""
    seen, since = -1, time.monotonic()
    while True:
        found = metrics(ops)
        counted = int(total(found, COUNTED))
        if counted >= events:
            return found
        on_look(found)
        if counted > seen:
            seen, since = counted, time.monotonic()
        if child.exit_code() is not None:
            raise Problem(f"the processor ended ({child.how_it_ended()})", child.log_tail())
        if time.monotonic() - since > STALLS_AFTER_SECONDS:
            raise Problem(f"the processor stands still at {counted} of {events} events", child.log_tail())
        time.sleep(POLL_SECONDS)


def by_stage(found, name):
    return {labels.partition('stage="')[2].split('"')[0]: value for each, labels, value in found if each == name}
