"""`bench-ingest`: what `weir ingest` costs, beside what nothing can beat, by the size of batches.

Prints tables in Markdown. Compare ratios, not seconds, with another machine or another hour.
"""

import collections
import statistics

import ports
from bench import rig as rigs
from bench.cost import CAP, CONNECTIONS, EVENTS_MAX, WARM_UP_SECONDS, Meter, Target, numbers
from bench.table import headline, median, quotients, rows, spread, times
from console import say, step
from stores import kafka

# The floors that need no HTTP settle sooner.
PARSE_SECONDS = 1
PRODUCE_SECONDS = 4
LATENCY_SECONDS = 4
# Goals for weir as a multiple of the server that only reads the body, by events in a request.
GOALS = {1: 1.8, 10: 2.4, 100: 4.0}
GOAL_P99_MS = 20


def add_arguments(parser):
    parser.add_argument("--seconds", type=int, default=8, help="of load for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--batches", type=numbers, default="1,10,100,1000", help="events in a request")


def run(chosen):
    with rigs.built("bench", "ingest", True, kafka.FORGETFUL) as rig:
        found = Ingest(rig, chosen)
        headline()
        found.measure()
        say(f"\n{found.text()}")


class Ingest:
    def __init__(self, rig, chosen):
        self.rig, self.chosen, self.meter = rig, chosen, Meter(rig)
        # By what was measured and the batch, one for each round.
        self.found = collections.defaultdict(list)
        ingest_port, *floors = ports.choose(1 + len(chosen.batches))
        keys = {}
        for name, limits in {"uncapped": (), "capped": ("--quota", str(CAP))}.items():
            rig.weir(rigs.TEMPLATE, "tenant", "create", name, "--plan", "unlimited", *limits)
            keys[name] = rig.weir(rigs.TEMPLATE, "key", "create", name)["key"]
        rig.end_clickhouse()
        spec, _ = rig.role("ingest", rigs.TEMPLATE, WEIR_INGEST_ADDR=f"127.0.0.1:{ingest_port}")
        servers = {batch: rig.floor_server(batch, port) for batch, port in zip(chosen.batches, floors, strict=True)}
        with step("starting weir ingest and the floors"):
            rig.supervisor.start(spec, *servers.values())
        self.targets = {
            **{(name, batch): Target(spec.name, ingest_port, keys[name]) for name in keys for batch in chosen.batches},
            **{
                ("floor", batch): Target(servers[batch].name, port, keys["uncapped"])
                for batch, port in zip(chosen.batches, floors, strict=True)
            },
        }

    def measure(self):
        batches = self.chosen.batches
        for name in ("uncapped", "capped"):
            self.cell(name, batches[-1], WARM_UP_SECONDS)
        for number in range(self.chosen.rounds):
            for batch in batches:
                told = [
                    self.cell(name, batch, self.chosen.seconds, note=name) for name in ("uncapped", "capped", "floor")
                ]
                self.floors(batch, int(told[0].rate / batch))
                said = ", ".join(f"{each.cpu:.2f} ({each.rate:,.0f}/s)" for each in told)
                say(f"- round {number + 1} of {self.chosen.rounds}, batches of {batch}: no cap, capped, floor {said}")
        for _ in range(self.chosen.rounds):
            for batch in batches:
                for name in ("uncapped", "floor"):
                    self.cell(name, batch, LATENCY_SECONDS, self.half(batch), note=f"{name} at half")

    def half(self, batch):
        return int(statistics.median(each.rate for each in self.found["uncapped", batch]) / 2)

    def cell(self, name, batch, seconds, rate=None, note="warm-up"):
        events_max = None if name == "floor" else EVENTS_MAX
        target = self.targets[name, batch]
        figure = self.meter.measure(target, batch, CONNECTIONS, seconds, rate=rate, events_max=events_max)
        self.found[note, batch].append(figure)
        return figure

    def floors(self, batch, requests):
        """The log fed ready frames at the pace that weir had; one thread from body to frames."""
        pace = ["--requests", CONNECTIONS, "--rate", requests, "--seconds", PRODUCE_SECONDS]
        produced = self.rig.floor("produce", "--brokers", self.rig.brokers, "--batch", batch, *pace)
        self.found["producer", batch].append(produced["cpu_ms"] * 1000 / produced["events"])
        self.found["parse", batch].append(self.rig.floor("parse", "--batch", batch, "--seconds", PARSE_SECONDS))

    def text(self):
        batches = self.chosen.batches
        return "\n\n".join(
            [
                f"CPU-seconds per million events, median of {self.chosen.rounds} (least to most); a ratio is the "
                "rounds' median",
                rows(
                    ["batch", "no cap", "capped", "body read only", "no cap / body read", "goal", "capped / body read"],
                    map(self.cpu_row, batches),
                ),
                "Parts of it alone, CPU-seconds per million events: one thread from body to frames; the log fed ready "
                "frames at the same pace",
                rows(["batch", "decode", "identify", "frames", "producer"], map(self.parts_row, batches)),
                "Accepted events/s, median (least to most); in brackets how busy the generator's one thread was",
                rows(["batch", "weir, no cap", "weir, capped", "body read only"], map(self.rate_row, batches)),
                "Latency at half of that (open loop), ms, median (least to most); goal: weir's p99 under "
                f"{GOAL_P99_MS}",
                rows(
                    ["batch", "events/s", "weir p50", "weir p99", "body read only p50", "body read only p99"],
                    map(self.latency_row, batches),
                ),
            ]
        )

    def cpu_row(self, batch):
        uncapped, capped, floor = (
            [each.cpu for each in self.found[name, batch]] for name in ("uncapped", "capped", "floor")
        )
        goal = f"{GOALS[batch]:.1f}x" if batch in GOALS else ""
        ratios = times(quotients(uncapped, floor)), goal, times(quotients(capped, floor))
        return [f"{batch:,}", *map(spread, (uncapped, capped, floor)), *ratios]

    def parts_row(self, batch):
        parts = (
            [each[part] / 1000 for each in self.found["parse", batch]] for part in ("decode", "identify", "frames")
        )
        return [f"{batch:,}", *map(spread, parts), spread(self.found["producer", batch])]

    def rate_row(self, batch):
        found = (self.found[name, batch] for name in ("uncapped", "capped", "floor"))
        cells = (
            spread((each.rate for each in figures), "{:,.0f}")
            + median((each.generator for each in figures), " [{:.0%}]")
            for figures in found
        )
        return [f"{batch:,}", *cells]

    def latency_row(self, batch):
        found = [self.found[f"{name} at half", batch] for name in ("uncapped", "floor")]
        cells = (spread(getattr(each, which) for each in figures) for figures in found for which in ("p50", "p99"))
        return [f"{batch:,}", f"{self.half(batch):,}", *cells]
