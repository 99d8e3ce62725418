"""The measurements: what an event costs at growing numbers of tenants, keys and connections, the sizes in turn."""

import collections
import dataclasses
import json
import time

from bench import program
from bench.ingest import CONNECTIONS, EVENT_BYTES, EVENTS_MAX
from console import Problem, say
from soaking.sample import status_of

BATCHES = 10, 1
WARM_UP_SECONDS = 2
# Of the first events of tenants with a cap: all that wait are leased a slice in one round.
CAPS_KNOWN_SECONDS = 5
FIRST_CONNECTIONS = 1_000
FIRST_SECONDS = 20
# Of connections: events in a request.
BATCH = 10
# Requests a second, and the connections among which they are shared out. One connection can't carry as many as ten
# thousand need so as not to be idle for longer than ingest waits for a request (8 s): two paces, and two numbers of
# connections that stand in both.
PACES = {250: (1, 64, 1_000), 2_500: (64, 1_000, 10_000)}
CLOSED = 1, 64, 1_000
# All connections are there a little after each has had its first turn.
SETTLE_SECONDS = 1.5


@dataclasses.dataclass(frozen=True)
class Figure:
    """Of one load: CPU in microseconds an event, events a second, milliseconds, megabytes."""

    cpu: float
    rate: float
    p50: float
    p99: float
    rss: int
    # The share of what was sent that was not accepted, and why.
    refused: dict


class Growth:
    def __init__(self, subject, sizes, rounds, seconds):
        self.subject, self.sizes, self.rounds, self.seconds = subject, sizes, rounds, seconds
        self.found = collections.defaultdict(list)
        self.at_start = {}

    def add(self, size):
        if size not in self.at_start:
            self.subject.add(size)
            self.at_start[size] = self.rss(size.process)

    # Tenants and keys

    def tenants(self, series="tenants"):
        """All sizes, over all their keys, from as many connections as `make bench-ingest` has."""
        for size in self.sizes:
            self.add(size)
        for size in self.sizes:
            self.closed(series, size, BATCHES[0], CONNECTIONS, WARM_UP_SECONDS)
        for number in range(self.rounds):
            for batch in BATCHES:
                for size in self.sizes:
                    figure = self.closed(series, size, batch, CONNECTIONS, self.seconds)
                    self.note((series, batch, size), figure)
            self.tell(number, series)

    def capped(self):
        """The same once most tenants hold a slice of their quota; and before, what a tenant's first event costs."""
        for size in self.sizes:
            self.add(size)
            self.subject.cap(size)
        # A cap is known within a second; a hundred thousand of them take longer.
        time.sleep(CAPS_KNOWN_SECONDS)
        for size in self.sizes:
            figure = self.closed("capped", size, 1, FIRST_CONNECTIONS, FIRST_SECONDS, size.tenants)
            self.note(("first", size), figure)
        self.tell(0, "first")
        self.tenants("capped")

    # Connections

    def connections(self):
        """The same requests a second from more and more connections, and beside it the server that only reads."""
        size = self.sizes[0]
        self.add(size)
        for number in range(self.rounds):
            for pace, all_connections in PACES.items():
                for connections in all_connections:
                    for who in ("floor", size):
                        self.note(("open", pace, connections, who), self.open(who, pace, connections))
            self.tell(number, "open")

    def closed_loop(self):
        """Each connection as fast as it can: what is held constant is one request under way on each."""
        size = self.sizes[0]
        self.add(size)
        for number in range(self.rounds):
            for connections in CLOSED:
                for who in ("floor", size):
                    figure = self.closed("closed", who, BATCH, connections, self.seconds)
                    self.note(("closed", connections, who), figure)
            self.tell(number, "closed")

    # One figure

    def closed(self, series, who, batch, connections, seconds, events_max=EVENTS_MAX):
        """All that is spent between the first request and the last reply, by all events."""
        pid = self.pid(who, batch)
        before = program.cpu_seconds(pid)
        events = ["--events", events_max]
        report = program.finish(self.load(who, batch, connections, "--duration", f"{seconds}s", *events))
        spent = program.cpu_seconds(pid) - before
        self.check(report, who, may_refuse=series == "capped")
        return self.figure(pid, report, spent, report["events_accepted"])

    def open(self, who, pace, connections):
        """A stretch in the middle, so that opening and closing connections are not charged to events."""
        pid = self.pid(who, BATCH)
        settle = SETTLE_SECONDS + connections / pace
        lasts = int((settle + self.seconds + 0.5) * 1000)
        child = self.load(who, BATCH, connections, "--duration", f"{lasts}ms", "--rate", pace * BATCH)
        time.sleep(settle)
        begin, before = time.monotonic(), program.cpu_seconds(pid)
        time.sleep(self.seconds)
        spent, took = program.cpu_seconds(pid) - before, time.monotonic() - begin
        report = program.finish(child)
        self.check(report, who)
        if report["connections_opened"] != connections:
            raise Problem(f"{connections} connections were opened {report['connections_opened']} times")
        # A single connection may be too slow for the pace.
        return self.figure(pid, report, spent, min(pace * BATCH, report["events_per_second"]) * took)

    def load(self, who, batch, connections, *options):
        port = self.subject.floor_ports[batch] if who == "floor" else self.subject.ports[who]
        keys = self.subject.keys_file(self.sizes[0] if who == "floor" else who)
        argv = [self.subject.weir, "load", "--json", "--keys-file", keys, "--batch", batch, "--event-bytes", EVENT_BYTES]
        argv += ["--connections", connections, "--url", f"http://127.0.0.1:{port}", *options]
        return program.start(argv, {**self.subject.environment, "TOKIO_WORKER_THREADS": "1"})

    def figure(self, pid, report, spent, events):
        latency = report["latency"]
        refused = {why: count / report["events_sent"] for why, count in report["events_refused"].items()}
        return Figure(
            cpu=spent * 1e6 / events,
            rate=report["events_per_second"],
            p50=latency["p50_us"] / 1000,
            p99=latency["p99_us"] / 1000,
            rss=status_of(pid)["VmRSS"] >> 10,
            refused=refused,
        )

    @staticmethod
    def check(report, who, may_refuse=False):
        clear = report["events_accepted"] + may_refuse * sum(report["events_refused"].values())
        if clear != report["events_sent"] or not report["events_accepted"]:
            name = who if who == "floor" else who.process
            raise Problem(f"{name}: not every event was accepted", json.dumps(report))

    def pid(self, who, batch):
        return self.subject.pid(self.subject.floor_name(batch) if who == "floor" else who.process)

    def rss(self, name):
        return status_of(self.subject.pid(name))["VmRSS"] >> 10

    def note(self, cell, figure):
        self.found[cell].append(figure)

    def tell(self, number, series):
        """What a round has found, for those who wait."""
        cells = {cell: found for cell, found in self.found.items() if cell[0] == series}
        texts = (f"{label(cell)} {found[-1].cpu:.2f}" for cell, found in cells.items())
        say(f"- round {number + 1} of {self.rounds}, {series}: {', '.join(texts)}")


def label(cell):
    return "/".join(part.name if hasattr(part, "name") else str(part) for part in cell[1:])
