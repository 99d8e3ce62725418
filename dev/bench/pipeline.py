"""The whole river under a rate: the highest at which events are stored and metered soon after they are accepted."""

import collections
import dataclasses
import itertools
import json
import math
import time

import loading
from bench import lag, program
from bench.rig import stores_cpu_seconds
from console import Problem, last_lines, say, step
from soaking.sample import metrics, total

LAG_SECONDS_MAX = 2.0
# Of what was offered.
ACCEPTED_SHARE = 0.97
CONNECTIONS = 64
LOOK_SECONDS = 0.1
# Of each load, before it counts.
WARM_UP_SECONDS = 2
# The first load of a cluster.
HEATING_SECONDS = 40
TRY_SECONDS = 6
DRAIN_SECONDS = 120
ENDS_WITHIN_SECONDS = 60
# By events in a request.
FIRST_RATES = {1: 10_000, 10: 40_000, 100: 60_000, 1000: 60_000}
RATE_MAX = 4_000_000
# Of the highest rate that held to the lowest that did not.
NEAR_ENOUGH = 1.15
# A rate that held for a moment and not for long is lowered so often.
RETREATS = 4
RETREAT = 0.9
TENANTS = {"uncapped": [], "capped": ["--quota", "1000000000000"]}


@dataclasses.dataclass
class Found:
    """What a rate came to."""

    rate: int
    accepted_per_second: float
    lag: lag.Lag
    p99_ms: float
    # CPU-seconds per million accepted events, by process.
    cpu: dict
    # Of the machine's cores, how many were busy with them.
    cores: float
    refused: dict

    @property
    def holds(self):
        is_accepted = self.accepted_per_second >= self.rate * ACCEPTED_SHARE and not self.refused
        return is_accepted and self.lag.most < LAG_SECONDS_MAX

    def __str__(self):
        verdict = "holds" if self.holds else "does not hold"
        refused = f", refused or unknown {self.refused}" if self.refused else ""
        return (
            f"{self.rate:,} events/s: accepted {self.accepted_per_second:,.0f}, lag p50 {self.lag.p50:.2f}, "
            f"p99 {self.lag.p99:.2f}, at most {self.lag.most:.2f} s, {self.cores:.1f} cores busy{refused}: {verdict}"
        )


class Pipeline:
    def __init__(self, river, batch, hold_seconds):
        self.river, self.batch, self.hold_seconds = river, batch, hold_seconds
        self.keys = []
        self.numbers = itertools.count(1)

    def start(self):
        with step("starting the river"):
            self.river.start()
            self.river.wait_until_up()
        for name, limit in TENANTS.items():
            self.river.weir_now("tenant", "create", name, "--plan", "unlimited", *limit)
            self.keys.append(self.river.weir_now("key", "create", name)["key"])

    def highest(self):
        """What the highest rate came to that holds; the last one tried, if none does."""
        # A broker has to be compiled by its own runtime first, which takes most of a core for half a minute.
        if self.river.shape.is_cluster:
            self.tried(FIRST_RATES.get(self.batch, max(FIRST_RATES.values())), HEATING_SECONDS)
        low, high, rate = None, None, FIRST_RATES.get(self.batch, max(FIRST_RATES.values()))
        while (low is None or high is None or high > low * NEAR_ENOUGH) and rate < RATE_MAX:
            held = self.tried(rate, TRY_SECONDS).holds
            low, high = (rate, high) if held else (low, rate)
            if high is None:
                rate = rate * 3 // 2
            else:
                rate = int(math.sqrt(low * high)) if low else rate * 2 // 3
            if high is not None and high < 1000:
                raise Problem(f"not even {high} events a second are stored within {LAG_SECONDS_MAX:.0f} s")
        rate = low
        for _ in range(RETREATS):
            found = self.tried(rate, self.hold_seconds)
            if found.holds:
                break
            rate = int(rate * RETREAT)
        return found

    def tried(self, rate, seconds):
        found = self.at(rate, seconds)
        say(f"- {found}")
        return found

    def at(self, rate, seconds):
        looks = [self.look()]
        output = self.river.folder / "journals" / f"{next(self.numbers)}.json"
        options = ["--rate", rate, "--batch", self.batch, "--connections", CONNECTIONS]
        options += ["--duration", f"{WARM_UP_SECONDS + seconds}s"]
        load = loading.start(self.river, output, ",".join(self.keys), *options)
        try:
            self.watch(looks, time.monotonic() + WARM_UP_SECONDS)
            before, spent = looks[-1], self.cpu_seconds()
            self.watch(looks, time.monotonic() + seconds)
            after, now = looks[-1], self.cpu_seconds()
            load.wait(ENDS_WITHIN_SECONDS)
        finally:
            load.kill()
            load.wait()
        self.drain(looks)
        text = output.read_text()
        if not text:
            raise Problem("the load ended without a report", last_lines(output.with_suffix(".log").read_text()))
        return self.judged(
            rate, looks, (before, after), {name: now[name] - spent[name] for name in now}, json.loads(text)
        )

    @staticmethod
    def judged(rate, looks, window, spent, report):
        before, after = window
        events = max(1, after.accepted - before.accepted)
        generator = report["generator_cpu_ms"] / 1000 / max(1, report["events_sent"])
        return Found(
            rate=rate,
            accepted_per_second=events / (after.at - before.at),
            lag=lag.of(looks, before.accepted, after.accepted),
            p99_ms=report["latency"]["p99_us"] / 1000,
            cpu={"load": generator * 1e6} | {name: seconds * 1e6 / events for name, seconds in spent.items()},
            cores=sum(seconds for name, seconds in spent.items() if " " not in name) / (after.at - before.at)
            + generator * events / (after.at - before.at),
            refused=report["events_refused"] | report["events_unknown"],
        )

    def watch(self, looks, until):
        while time.monotonic() < until:
            looks.append(self.look())
            time.sleep(max(0.0, looks[-1].at + LOOK_SECONDS - time.monotonic()))

    def drain(self, looks):
        deadline = time.monotonic() + DRAIN_SECONDS
        while looks[-1].committed < looks[-1].accepted:
            self.watch(looks, time.monotonic() + LOOK_SECONDS)
            if time.monotonic() > deadline:
                behind = looks[-1].accepted - looks[-1].committed
                raise Problem(f"{behind} events are not stored {DRAIN_SECONDS} s after the load")

    def look(self):
        # Those who commit first: what they have was accepted before.
        roles = sorted(self.river.shape.roles(), key=lambda role: role[1] == "ingest")
        ports = [
            listening["ops"] for _, command, listening in roles if command in ("standalone", "processor", "ingest")
        ]
        committed = accepted = 0
        for port in ports:
            found = metrics(port)
            committed += total(found, "weir_processor_events_total")
            accepted += total(found, "weir_ingest_events_total", 'outcome="accepted"')
        return lag.Look(time.monotonic(), int(accepted), int(committed))

    def cpu_seconds(self):
        """By process; those with the same role together."""
        pids, found = self.river.pids(), collections.Counter()
        for name, command, _ in self.river.shape.roles():
            found["weir" if command == "standalone" else command] += program.cpu_seconds(pids[name])
        return dict(found) | stores_cpu_seconds(pids, self.river.env()["CLICKHOUSE_URL"])

    def end(self):
        if not self.river.stop():
            say("! the river did not stop in time and was killed")
