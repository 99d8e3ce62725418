"""`bench-pipeline`: the rate at which events go all the way, from HTTP to rows and usage, on this one machine.

For each shape and batch size a river of its own is started, the rate is raised until events are not stored and metered
within two seconds of their acceptance any more, and the highest rate is held for `--seconds`. The load generator and
all stores share the machine's cores with weir; ClickHouse is its engine behind a shim, unless a server is installed.
"""

import bisect
import collections
import itertools
import math
import shutil
import time
from typing import NamedTuple

import looks
import weir
import workspace
from bench.rig import store_costs
from console import Problem, say
from figures import headline, measured, numbers
from subject import Load, load_shape, running_river

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
FIRST_RATES = {1: 10_000, 10: 40_000}
FIRST_RATE, RATE_MIN, RATE_MAX = 60_000, 1_000, 4_000_000
# Of the highest rate that held to the lowest that did not.
NEAR_ENOUGH = 1.15
# A rate that held for a moment and not for long is lowered so often.
RETREATS, RETREAT = 4, 0.9
# Events a second in requests of a hundred.
GOAL_RATE, GOAL_BATCH = 150_000, 100
TITLE = (
    "{}: the highest rate at which every event was stored and metered soon after its acceptance (goal: {:,} a second "
    "in batches of {}), and CPU-seconds per million events of each process"
)


def add_arguments(parser):
    parser.add_argument("--shapes", default=",".join(SHAPES), help="processes and stores")
    parser.add_argument("--batches", type=numbers, default="1,10,100,1000", help="events in a request")
    parser.add_argument("--seconds", type=int, default=22, help="for which the highest rate is held")


def run(chosen):
    shapes = [name for name in SHAPES if name in chosen.shapes.split(",")]
    weir.check_tools("cluster" in shapes)
    if shutil.disk_usage(workspace.ROOT).free < FREE_BYTES_MIN:
        raise Problem(f"this bench needs {FREE_BYTES_MIN >> 30} GiB free on the disk")
    binary, port = weir.given_or_built(), chosen.port or 7800
    headline()

    def measure(shape, batch):
        with running_river(shape == "cluster", port, binary, "bench-pipeline") as river:
            keys = ",".join(river.capped_and_uncapped().values())

            def send(rate, seconds, number):
                options = [*load_shape(batch, CONNECTIONS, rate), "--duration", f"{seconds}s"]
                return [Load(river, str(number), keys, *options)]

            return Pipeline(river, send).highest(FIRST_RATES.get(batch, FIRST_RATE), chosen.seconds).figures()

    for shape in shapes:
        title = TITLE.format(SHAPES[shape], GOAL_RATE, GOAL_BATCH)
        measured((title, "shape", "batch"), 1, [(shape, batch) for batch in chosen.batches], measure)


class Look(NamedTuple):
    at: float
    accepted: int
    committed: int


class Tried(NamedTuple):
    """What a rate came to: events accepted a second; of each hundredth of the events, seconds from acceptance to
    commit, sorted; CPU-seconds per million accepted events, by process; how many of the machine's cores were busy with
    them."""

    rate: int
    accepted: float
    lags: list
    p99_ms: float
    cpu: dict
    cores: float
    refused: dict

    @property
    def holds(self):
        is_accepted = self.accepted >= self.rate * ACCEPTED_SHARE and not self.refused
        return is_accepted and self.lags[-1] < LAG_SECONDS_MAX

    def figures(self):
        return {
            "events/s": self.accepted if self.holds else f"less than {self.rate:,}",
            **{f"lag {name} s": self.lags[place] for name, place in (("p50", 50), ("p99", -2), ("most", -1))},
            "HTTP p99 ms": self.p99_ms,
            **self.cpu,
            "all": sum(self.cpu.values()),
            "cores busy": self.cores,
        }

    def __str__(self):
        refused = f", refused or unknown {self.refused}" if self.refused else ""
        return (
            f"{self.rate:,} events/s: accepted {self.accepted:,.0f}, lag p50 {self.lags[50]:.2f}, at most "
            f"{self.lags[-1]:.2f} s, {self.cores:.1f} cores busy{refused}: {'holds' if self.holds else 'does not hold'}"
        )


class Pipeline:
    """A river under a rate. `send` starts the loads of a rate, for some seconds, with a number for their names."""

    def __init__(self, river, send):
        self.river, self.send, self.numbers = river, send, itertools.count(1)

    def highest(self, rate, hold_seconds):
        """What the highest rate came to that holds, to begin with this one; the last one tried, if none does."""
        if self.river.shape.is_cluster:
            self.tried(rate, HEATING_SECONDS)
        low, high = None, None
        while (low is None or high is None or high > low * NEAR_ENOUGH) and rate < RATE_MAX:
            low, high = (rate, high) if self.tried(rate, TRY_SECONDS).holds else (low, rate)
            if high is None:
                rate = rate * 3 // 2
            elif high < RATE_MIN:
                raise Problem(f"not even {high} events a second are stored within {LAG_SECONDS_MAX:.0f} s")
            else:
                rate = int(math.sqrt(low * high)) if low else rate * 2 // 3
        for _ in range(RETREATS):
            found = self.tried(low, hold_seconds)
            if found.holds:
                break
            low = int(low * RETREAT)
        return found

    def tried(self, rate, seconds):
        seen = [self.look()]
        loads = self.send(rate, WARM_UP_SECONDS + seconds, next(self.numbers))
        try:
            self.watch(seen, WARM_UP_SECONDS)
            before, costs = seen[-1], self.costs()
            self.watch(seen, seconds)
            after, spent = seen[-1], {name: now - costs[name] for name, now in self.costs().items()}
            reports = [load.report() for load in loads]
        finally:
            for load in loads:
                load.end()
        self.drain(seen)
        found = judged(rate, seen, before, after, spent, reports)
        say(f"- {found}")
        return found

    def watch(self, seen, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            seen.append(self.look())
            time.sleep(max(0.0, seen[-1].at + LOOK_SECONDS - time.monotonic()))

    def drain(self, seen=()):
        """Until all that was accepted is stored; `seen` gets the looks."""
        seen, deadline = seen or [self.look()], time.monotonic() + DRAIN_SECONDS
        while seen[-1].committed < seen[-1].accepted:
            self.watch(seen, LOOK_SECONDS)
            if time.monotonic() > deadline:
                behind = seen[-1].accepted - seen[-1].committed
                raise Problem(f"{behind} events are not stored {DRAIN_SECONDS} s after the load")

    def look(self):
        found = self.river.metrics().values()
        return Look(time.monotonic(), sum(map(looks.accepted, found)), sum(map(looks.processed, found)))

    def costs(self):
        """CPU-seconds by process; those with the same role together."""
        pids, found = self.river.pids(), collections.Counter()
        for name, command, _ in self.river.shape.roles:
            found["weir" if command == "standalone" else command] += looks.cpu_seconds(pids[name])
        return dict(found) | store_costs(pids)


def judged(rate, seen, before, after, spent, reports):
    events, took = max(1, after.accepted - before.accepted), after.at - before.at
    sent = max(1, sum(report["events_sent"] for report in reports))
    cpu = {"load": sum(report["generator_cpu_ms"] for report in reports) * 1e3 / sent}
    cpu |= {name: seconds * 1e6 / events for name, seconds in spent.items()}
    refused = collections.Counter()
    for report in reports:
        refused.update(report["events_refused"] | report["events_unknown"])
    lags = lags_of(seen, before.accepted, after.accepted)
    p99_ms = max(report["latency"]["p99_us"] for report in reports) / 1000
    return Tried(rate, events / took, lags, p99_ms, cpu, sum(cpu.values()) * events / 1e6 / took, dict(refused))


def lags_of(seen, first, last):
    """The processor commits in about the order of acceptance, so the event that was the n-th to be accepted is taken
    for the n-th to be committed, at the look at which that was first seen: an answer that is up to one look too
    large."""
    found = []
    for part in range(100):
        event = first + (last - first) * (part + 0.5) / 100
        committed = bisect.bisect_left(seen, event, key=lambda look: look.committed)
        found.append(max(0.0, seen[min(committed, len(seen) - 1)].at - accepted_at(seen, event)))
    return sorted(found)


def accepted_at(seen, event):
    place = bisect.bisect_left(seen, event, key=lambda look: look.accepted)
    if place == 0 or place == len(seen):
        return seen[min(place, len(seen) - 1)].at
    before, after = seen[place - 1], seen[place]
    share = (event - before.accepted) / (after.accepted - before.accepted)
    return before.at + (after.at - before.at) * share
