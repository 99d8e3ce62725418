"""What a soak sends: lanes of `weir load`, some that last, some whose connections come and go, some with bad keys."""

import dataclasses
import json
import os
import signal
import subprocess

import loading
from console import Problem, last_lines

ENDS_WITHIN_SECONDS = 60
# Of each run of a lane whose connections come and go.
PASSING_SECONDS = 5
# Well below what an address without a good key is let through with, so that each is refused as what it is.
BAD_REQUESTS_PER_SECOND = 10


@dataclasses.dataclass(frozen=True)
class Lane:
    """A share of the rate, in percent, in requests of one kind."""

    name: str
    percent: int
    batch: int
    connections: int
    gzip: bool = False
    tenant: str = "uncapped"


# With a journal each, over the same connections from the beginning to the end.
LASTING = (
    Lane("singles", 5, 1, 32),
    Lane("tens", 15, 10, 16, tenant="capped"),
    Lane("tens-gzip", 10, 10, 16, gzip=True),
    Lane("hundreds", 35, 100, 8),
    Lane("hundreds-gzip", 25, 100, 8, gzip=True, tenant="capped"),
)
# One short run after the other, so that there are always as many connections, but never for long the same.
PASSING = (Lane("passing-1", 5, 1, 64), Lane("passing-10", 5, 10, 64, tenant="capped"))


class Run:
    """One `weir load` under way."""

    def __init__(self, river, lane, number, key, *options, journal=False):
        self.lane, self.label = lane, f"{lane}-{number:04}"
        self.output = river.folder / "journals" / f"{self.label}.json"
        self.journal = self.output.with_suffix(".journal") if journal else None
        self.process = loading.start(river, self.output, key, *options, journal=self.journal)

    def is_over(self):
        return self.process.poll() is not None

    def report(self):
        """What it says itself, once it is over. Its exit code says whether anything was accepted, which is for others
        to judge."""
        try:
            self.process.wait(ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            raise Problem(f"the load {self.label} does not end within {ENDS_WITHIN_SECONDS} s") from None
        text = self.output.read_text()
        if not text:
            log = self.output.with_suffix(".log").read_text(errors="replace")
            raise Problem(f"the load {self.label} ended without a report", last_lines(log))
        return json.loads(text)

    def end(self):
        if not self.is_over():
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Loads:
    """All that is sent: what runs now, and what the ended ones have reported."""

    def __init__(self, river, keys, bad_keys):
        self.river, self.keys, self.bad_keys = river, keys, bad_keys
        self.under_way = []
        self.reports = {}
        self.journals = []
        self.count = 0
        # By lane, of its latest run, as its clients saw it.
        self.p99_ms = {}

    def start_lasting(self, rate, seconds, journal):
        for lane in LASTING:
            options = ["--duration", f"{seconds}s", "--retry", "--retry-share", 5, "--grace", "30s"]
            self.start(lane, rate, *options, journal=journal)

    def start_passing(self, rate):
        for lane in PASSING:
            if lane.name not in (run.lane for run in self.under_way):
                self.start(lane, rate, "--duration", f"{PASSING_SECONDS}s", "--retry", "--grace", "30s")

    def start_bad(self, seconds):
        for name, key in self.bad_keys.items():
            rate = ["--rate", BAD_REQUESTS_PER_SECOND * 10, "--batch", 10, "--connections", 2]
            self.run(f"bad-{name}", key, *rate, "--duration", f"{seconds}s")

    def start(self, lane, rate, *options, journal=False):
        # Never less than a request a second.
        own_rate = max(lane.batch, rate * lane.percent // 100)
        options = [*options, "--rate", own_rate, "--batch", lane.batch, "--connections", lane.connections]
        options += ["--gzip"] if lane.gzip else []
        self.run(lane.name, self.keys[lane.tenant], *options, journal=journal)

    def run(self, lane, key, *options, journal=False):
        self.count += 1
        run = Run(self.river, lane, self.count, key, *options, journal=journal)
        self.under_way.append(run)
        if run.journal:
            self.journals.append(run.journal)

    def collect(self):
        """Takes the reports of those that have ended."""
        for run in [run for run in self.under_way if run.is_over()]:
            self.under_way.remove(run)
            report = self.reports[run.label] = run.report()
            # Of lasting lanes it comes at the end, and is that of all the time.
            self.p99_ms[run.lane] = report["latency"]["p99_us"] / 1000

    def wait(self):
        for run in list(self.under_way):
            run.report()
        self.collect()

    def of(self, prefix):
        return [report for label, report in self.reports.items() if label.startswith(prefix)]

    def totals(self):
        """(accepted, without a clear answer) of all that has ended, in events."""
        reports = self.reports.values()
        return sum(r["events_accepted"] for r in reports), sum(sum(r["events_unknown"].values()) for r in reports)

    def end(self):
        for run in self.under_way:
            run.end()
