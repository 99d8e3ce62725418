"""What is looked at every few seconds: each process of weir as the kernel sees it, and how far the river has got."""

import dataclasses
import re
import time
import urllib.request
from pathlib import Path

from crash.resources import descriptors

METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclasses.dataclass
class Process:
    rss: int
    descriptors: int
    threads: int
    # By design their memory grows until WEIR_IDS_MEMORY_MAX.
    ids: int = 0
    ids_bytes: int = 0

    @property
    def flat_bytes(self):
        """Resident memory without the ids."""
        return self.rss - self.ids_bytes


@dataclasses.dataclass
class Sample:
    at: float
    accepted: int
    processed: int
    lag_seconds: float
    processes: dict
    p99_ms: dict

    @property
    def backlog(self):
        """Events that were accepted and are neither stored nor found to be duplicates yet."""
        return max(0, self.accepted - self.processed)


def take(river, p99_ms):
    processes, pids = {}, river.pids()
    accepted = processed = lag = 0
    for name, _, listening in river.shape.roles():
        found = metrics(listening["ops"])
        pid = pids[name]
        status = status_of(pid)
        process = Process(status["VmRSS"] << 10, descriptors(pid), status["Threads"])
        process.ids = int(total(found, "weir_processor_ids_held"))
        process.ids_bytes = int(total(found, "weir_processor_ids_memory_bytes"))
        processes[name] = process
        accepted += total(found, "weir_ingest_events_total", 'outcome="accepted"')
        processed += total(found, "weir_processor_events_total")
        lag = max(lag, total(found, "weir_processor_lag_seconds"))
    return Sample(time.monotonic(), int(accepted), int(processed), lag, processes, dict(p99_ms))


def metrics(port):
    # Never through a proxy that the environment may name.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return [(name, labels, float(value)) for name, labels, value in METRIC.findall(reply.read().decode())]


def total(found, name, label=""):
    return sum(value for each, labels, value in found if each == name and label in labels)


def status_of(pid):
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if words[0] in ("VmRSS:", "Threads:")}
