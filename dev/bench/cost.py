"""What a load costs the process that it goes to: CPU time of `weir ingest`, or of a server that only reads bodies."""

import dataclasses
import itertools
import json
import time

import looks
from console import Problem
from load import Load, shape_of

CONNECTIONS = 64
EVENT_BYTES = 300
# A load ends here even if it could go on: what it writes has to fit on a developer's disk. Whole batches of each
# connection.
EVENTS_MAX = CONNECTIONS * 50_000
WARM_UP_SECONDS = 2
# More than any run sends.
CAP = 1_000_000_000_000


@dataclasses.dataclass(frozen=True)
class Target:
    """Who is sent to: the process, its port, and a key or a file of keys."""

    process: str
    port: int
    key: object


@dataclasses.dataclass(frozen=True)
class Figure:
    """Of one load: CPU in microseconds an event, events a second, milliseconds, the generator's share of one core, what
    was refused of what was sent, megabytes."""

    cpu: float
    rate: float
    p50: float
    p99: float
    generator: float
    refused: float
    rss: int


class Meter:
    def __init__(self, rig):
        self.rig, self.numbers = rig, itertools.count(1)

    def measure(
        self, target, batch, connections, seconds, *, rate=None, settle=None, events_max=None, may_refuse=False
    ):
        """All that is spent between the first request and the last reply, by all events; with `settle` of a stretch in
        the middle, so that opening and closing connections are not charged to events."""
        pid = self.rig.pid(target.process)
        lasts = seconds if settle is None else settle + seconds + 0.5
        options = [*shape_of(batch, connections, rate), "--duration", f"{int(lasts * 1000)}ms"]
        options += ["--url", f"http://127.0.0.1:{target.port}", "--event-bytes", EVENT_BYTES]
        options += ["--events", events_max] if events_max else []
        before, begin = looks.cpu_seconds(pid), time.monotonic()
        load = Load(self.rig, str(next(self.numbers)), target.key, *options, TOKIO_WORKER_THREADS="1")
        try:
            if settle is not None:
                time.sleep(settle)
                before, begin = looks.cpu_seconds(pid), time.monotonic()
                time.sleep(seconds)
                spent, took = looks.cpu_seconds(pid) - before, time.monotonic() - begin
            report = load.report(lasts + 60)
        finally:
            load.end()
        refused = sum(report["events_refused"].values())
        if report["events_accepted"] + may_refuse * refused != report["events_sent"] or not report["events_accepted"]:
            raise Problem(f"{target.process}, batches of {batch}: not every event was accepted", json.dumps(report))
        if settle is None:
            spent, events = looks.cpu_seconds(pid) - before, report["events_accepted"]
        else:
            # A single connection may be too slow for the pace.
            events = min(rate, report["events_per_second"]) * took
        return Figure(
            cpu=spent * 1e6 / events,
            rate=report["events_per_second"],
            p50=report["latency"]["p50_us"] / 1000,
            p99=report["latency"]["p99_us"] / 1000,
            generator=report["generator_cpu_ms"] / report["elapsed_ms"],
            refused=refused / report["events_sent"],
            rss=looks.rss_bytes(pid) >> 20,
        )


def numbers(text):
    """Of an option."""
    return [int(each) for each in text.split(",")]
