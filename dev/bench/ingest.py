"""The measurements: CPU time of one process around a load, again and again, the subjects in turn."""

import dataclasses
import json
import statistics

from bench import program
from console import Problem, say

CONNECTIONS = 64
EVENT_BYTES = 300
# A load ends here even if it could go on: what it writes has to fit on a developer's disk. Whole batches of each
# connection.
EVENTS_MAX = CONNECTIONS * 50_000
# The floors that need no HTTP settle sooner.
PARSE_SECONDS = 1
PRODUCE_SECONDS = 4
# Of each round at half load.
LATENCY_SECONDS = 4
WARM_UP_SECONDS = 2
SUBJECTS = "uncapped", "capped", "floor"


@dataclasses.dataclass
class Cell:
    """One figure of a table, measured several times."""

    cpu: list = dataclasses.field(default_factory=list)
    rate: list = dataclasses.field(default_factory=list)
    # The generator's share of one core.
    generator: list = dataclasses.field(default_factory=list)


class Bench:
    def __init__(self, subject, batches, rounds, seconds):
        self.subject, self.batches, self.rounds, self.seconds = subject, batches, rounds, seconds
        self.http = {(name, batch): Cell() for name in SUBJECTS for batch in batches}
        self.producer = {batch: Cell() for batch in batches}
        self.parse = {batch: [] for batch in batches}
        self.latency = {batch: [] for batch in batches}
        self.floor_latency = {batch: [] for batch in batches}

    def measure(self):
        for name in ("uncapped", "capped"):
            self.load(name, self.batches[-1], WARM_UP_SECONDS)
        for number in range(self.rounds):
            for batch in self.batches:
                self.round(batch)
                say(f"- round {number + 1} of {self.rounds}, batches of {batch}: {self.last(batch)}")
        for _ in range(self.rounds):
            for batch in self.batches:
                rate = int(statistics.median(self.http["uncapped", batch].rate) / 2)
                for name, found in (("uncapped", self.latency), ("floor", self.floor_latency)):
                    found[batch].append(self.load(name, batch, LATENCY_SECONDS, rate)["latency"])

    def round(self, batch):
        for name in SUBJECTS:
            self.http_cell(name, batch)
        requests = int(self.http["uncapped", batch].rate[-1] / batch)
        produced = self.run_floor(
            "produce",
            *("--brokers", self.subject.brokers, "--batch", batch, "--requests", CONNECTIONS),
            *("--rate", requests, "--seconds", PRODUCE_SECONDS),
        )
        self.producer[batch].cpu.append(produced["cpu_ms"] * 1000 / produced["events"])
        self.producer[batch].rate.append(produced["events"] * 1000 / produced["elapsed_ms"])
        self.parse[batch].append(self.run_floor("parse", "--batch", batch, "--seconds", PARSE_SECONDS))

    def http_cell(self, name, batch):
        pid = self.subject.pid(self.subject.floor_name(batch) if name == "floor" else "ingest")
        before = program.cpu_seconds(pid)
        report = self.load(name, batch, self.seconds)
        spent = program.cpu_seconds(pid) - before
        cell = self.http[name, batch]
        # Seconds a million events are microseconds an event.
        cell.cpu.append(spent * 1e6 / report["events_accepted"])
        cell.rate.append(report["events_per_second"])
        cell.generator.append(report["generator_cpu_ms"] / report["elapsed_ms"])

    def load(self, name, batch, seconds, rate=None):
        """`weir load` on one thread; the events have fresh ids, because its seed is random."""
        port = self.subject.floor_ports[batch] if name == "floor" else self.subject.ingest_port
        argv = ["load", "--json", "--batch", batch, "--connections", CONNECTIONS, "--event-bytes", EVENT_BYTES]
        argv += ["--duration", f"{seconds}s"]
        argv += ["--rate", rate] if rate else []
        argv += ["--events", EVENTS_MAX] if name != "floor" else []
        report = self.run(
            [self.subject.weir, *argv],
            WEIR_URL=f"http://127.0.0.1:{port}",
            WEIR_KEY=self.subject.keys["uncapped" if name == "floor" else name],
            TOKIO_WORKER_THREADS="1",
        )
        if report["events_accepted"] != report["events_sent"]:
            raise Problem(f"{name}, batches of {batch}: not every event was accepted", json.dumps(report))
        return report

    def run_floor(self, *arguments):
        return self.run([self.subject.floors, *arguments])

    def run(self, argv, **variables):
        return program.run(argv, {**self.subject.environment, **variables})

    def last(self, batch):
        """What a round has found, for those who wait."""
        cells = {name: self.http[name, batch] for name in SUBJECTS} | {"producer": self.producer[batch]}
        return ", ".join(f"{name} {cell.cpu[-1]:.2f} ({cell.rate[-1]:,.0f}/s)" for name, cell in cells.items())
