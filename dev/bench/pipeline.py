"""`bench-pipeline`: the rate at which events go all the way, from HTTP to rows and usage, on this one machine.

For each shape and batch size a river of its own is started, the rate is raised until events are not stored and metered
within two seconds of their acceptance any more, and the highest rate is held for `--seconds`. The load generator and
all stores share the machine's cores with weir; ClickHouse is its engine behind a shim, unless a server is installed.
"""

import bisect
import collections
import dataclasses
import functools
import itertools
import math
import shutil
import time

import looks
import running
import workspace
from bench.cost import numbers
from bench.rig import store_costs
from bench.table import headline, rows
from console import Problem, say
from load import Load, shape_of
from subject import running_river

SHAPES = {"run": "standalone", "cluster": "cluster"}
# Of the disk: what a river leaves behind until it is deleted.
FREE_BYTES_MIN = 12 << 30
LAG_SECONDS_MAX = 2.0
# Of what was offered.
ACCEPTED_SHARE = 0.97
CONNECTIONS = 64
LOOK_SECONDS = 0.1
# Of each load, before it counts.
WARM_UP_SECONDS = 2
# A broker has to be compiled by its own runtime first, which takes most of a core for half a minute.
HEATING_SECONDS = 40
TRY_SECONDS = 6
DRAIN_SECONDS = 120
# By events in a request.
FIRST_RATES = {1: 10_000, 10: 40_000, 100: 60_000, 1000: 60_000}
RATE_MAX = 4_000_000
# Of the highest rate that held to the lowest that did not.
NEAR_ENOUGH = 1.15
# A rate that held for a moment and not for long is lowered so often.
RETREATS = 4
RETREAT = 0.9
# Events a second in requests of a hundred.
GOAL_RATE, GOAL_BATCH = 150_000, 100


def add_arguments(parser):
    parser.add_argument("--shapes", default=",".join(SHAPES), help="processes and stores")
    parser.add_argument("--batches", type=numbers, default="1,10,100,1000", help="events in a request")
    parser.add_argument("--seconds", type=int, default=22, help="for which the highest rate is held")


def run(chosen):
    shapes = [name for name in SHAPES if name in chosen.shapes.split(",")]
    running.check_tools("cluster" in shapes, "cluster" in shapes)
    if shutil.disk_usage(workspace.ROOT).free < FREE_BYTES_MIN:
        raise Problem(f"this bench needs {FREE_BYTES_MIN >> 30} GiB free on the disk")
    binary = running.build()
    headline()
    tables = []
    for name in shapes:
        found = {}
        for batch in chosen.batches:
            say(f"- {SHAPES[name]}, batches of {batch}")
            with running_river(name == "cluster", chosen.port or 7800, binary, "bench-pipeline") as up:
                send = functools.partial(send_batches, up, list(up.capped_and_uncapped().values()), batch)
                first = FIRST_RATES.get(batch, max(FIRST_RATES.values()))
                found[batch] = Pipeline(up, send).highest(first, chosen.seconds)
        tables.append(table(SHAPES[name], found))
    say("\n" + "\n\n".join(tables))


def send_batches(up, keys, batch, rate, seconds, number):
    options = [*shape_of(batch, CONNECTIONS, rate), "--duration", f"{seconds}s"]
    return [Load(up, str(number), ",".join(keys), *options)]


@dataclasses.dataclass
class Look:
    at: float
    accepted: int
    committed: int


@dataclasses.dataclass
class Found:
    """What a rate came to."""

    rate: int
    accepted_per_second: float
    # Of each hundredth of the events, seconds from acceptance to commit, sorted.
    lags: list
    p99_ms: float
    # CPU-seconds per million accepted events, by process.
    cpu: dict
    # Of the machine's cores, how many were busy with them.
    cores: float
    refused: dict

    @property
    def holds(self):
        is_accepted = self.accepted_per_second >= self.rate * ACCEPTED_SHARE and not self.refused
        return is_accepted and self.lags[-1] < LAG_SECONDS_MAX

    def lag(self):
        """(p50, p99, most)"""
        return self.lags[len(self.lags) // 2], self.lags[-2], self.lags[-1]

    def __str__(self):
        p50, p99, most = self.lag()
        refused = f", refused or unknown {self.refused}" if self.refused else ""
        return (
            f"{self.rate:,} events/s: accepted {self.accepted_per_second:,.0f}, lag p50 {p50:.2f}, p99 {p99:.2f}, at "
            f"most {most:.2f} s, {self.cores:.1f} cores busy{refused}: {'holds' if self.holds else 'does not hold'}"
        )


class Pipeline:
    """A river under a rate. `send` starts the loads of a rate, for some seconds, with a number for their names."""

    def __init__(self, river, send):
        self.river, self.send = river, send
        self.numbers = itertools.count(1)

    def highest(self, rate, hold_seconds):
        """What the highest rate came to that holds, to begin with this one; the last one tried, if none does."""
        if self.river.shape.is_cluster:
            self.tried(rate, HEATING_SECONDS)
        low, high = None, None
        while (low is None or high is None or high > low * NEAR_ENOUGH) and rate < RATE_MAX:
            held = self.tried(rate, TRY_SECONDS).holds
            low, high = (rate, high) if held else (low, rate)
            if high is None:
                rate = rate * 3 // 2
            else:
                rate = int(math.sqrt(low * high)) if low else rate * 2 // 3
            if high is not None and high < 1000:
                raise Problem(f"not even {high} events a second are stored within {LAG_SECONDS_MAX:.0f} s")
        for _ in range(RETREATS):
            found = self.tried(low, hold_seconds)
            if found.holds:
                break
            low = int(low * RETREAT)
        return found

    def tried(self, rate, seconds):
        looks_at = [self.look()]
        loads = self.send(rate, WARM_UP_SECONDS + seconds, next(self.numbers))
        try:
            self.watch(looks_at, WARM_UP_SECONDS)
            before, spent = looks_at[-1], self.costs()
            self.watch(looks_at, seconds)
            after, now = looks_at[-1], self.costs()
            reports = [load.report() for load in loads]
        finally:
            for load in loads:
                load.end()
        self.drain(looks_at)
        spent = {name: now[name] - spent[name] for name in now}
        found = judged(rate, looks_at, before, after, spent, reports)
        say(f"- {found}")
        return found

    def watch(self, looks_at, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            looks_at.append(self.look())
            time.sleep(max(0.0, looks_at[-1].at + LOOK_SECONDS - time.monotonic()))

    def drain(self, looks_at):
        deadline = time.monotonic() + DRAIN_SECONDS
        while looks_at[-1].committed < looks_at[-1].accepted:
            self.watch(looks_at, LOOK_SECONDS)
            if time.monotonic() > deadline:
                behind = looks_at[-1].accepted - looks_at[-1].committed
                raise Problem(f"{behind} events are not stored {DRAIN_SECONDS} s after the load")

    def look(self):
        found = self.river.metrics().values()
        return Look(time.monotonic(), sum(map(looks.accepted, found)), sum(map(looks.processed, found)))

    def costs(self):
        """CPU-seconds by process; those with the same role together."""
        pids, found = self.river.pids(), collections.Counter()
        for name, command, _ in self.river.shape.roles():
            found["weir" if command == "standalone" else command] += looks.cpu_seconds(pids[name])
        return dict(found) | store_costs(pids, self.river.env()["CLICKHOUSE_URL"])


def judged(rate, looks_at, before, after, spent, reports):
    events, took = max(1, after.accepted - before.accepted), after.at - before.at
    sent = max(1, sum(report["events_sent"] for report in reports))
    cpu = {"load": sum(report["generator_cpu_ms"] for report in reports) * 1e3 / sent}
    cpu |= {name: seconds * 1e6 / events for name, seconds in spent.items()}
    refused = collections.Counter()
    for report in reports:
        refused.update(report["events_refused"] | report["events_unknown"])
    return Found(
        rate=rate,
        accepted_per_second=events / took,
        lags=lags(looks_at, before.accepted, after.accepted),
        p99_ms=max(report["latency"]["p99_us"] for report in reports) / 1000,
        cpu=cpu,
        cores=total(cpu) * events / 1e6 / took,
        refused=dict(refused),
    )


def total(cpu):
    """A name with a space is a part of the one before it."""
    return sum(seconds for name, seconds in cpu.items() if " " not in name)


def lags(looks_at, first, last):
    """The processor commits in about the order of acceptance, so the event that was the n-th to be accepted is taken
    for the n-th to be committed, at the look at which that was first seen: an answer that is up to one look too large."""
    found = []
    for part in range(100):
        event = first + (last - first) * (part + 0.5) / 100
        committed = bisect.bisect_left(looks_at, event, key=lambda look: look.committed)
        found.append(max(0.0, looks_at[min(committed, len(looks_at) - 1)].at - accepted_at(looks_at, event)))
    return sorted(found)


def accepted_at(looks_at, event):
    place = bisect.bisect_left(looks_at, event, key=lambda look: look.accepted)
    if place == 0 or place == len(looks_at):
        return looks_at[min(place, len(looks_at) - 1)].at
    before, after = looks_at[place - 1], looks_at[place]
    share = (event - before.accepted) / (after.accepted - before.accepted)
    return before.at + (after.at - before.at) * share


def table(shape, found):
    """`found`: what each batch's highest rate came to."""
    processes = list(next(iter(found.values())).cpu)
    headings = ["batch", "goal", "events/s", "lag p50 s", "p99", "most", "HTTP p99 ms", *processes, "all", "cores busy"]
    lines = [
        [
            f"{batch:,}",
            f"{GOAL_RATE:,}" if batch == GOAL_BATCH else "",
            f"{each.accepted_per_second:,.0f}" if each.holds else f"less than {each.rate:,}",
            *(f"{value:.2f}" for value in each.lag()),
            f"{each.p99_ms:.0f}",
            *(f"{each.cpu[name]:.2f}" for name in processes),
            f"{total(each.cpu):.2f}",
            f"{each.cores:.1f}",
        ]
        for batch, each in found.items()
    ]
    title = (
        f"{shape}: the highest rate at which every event was stored and metered soon after its acceptance, and "
        "CPU-seconds per million events of each process"
    )
    return f"{title}\n\n{rows(headings, lines)}"
