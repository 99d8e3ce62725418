"""CPU time by stage, from samples of the stacks of a processor's threads: with `perf`, where that is there."""

import collections
import contextlib
import re
import shutil
import signal
import subprocess

from bench.table import median, rows
from console import Problem, last_lines, say

HERTZ = 499
# With room for stacks that perf has no time to write.
RECORD = ["perf", "record", "-q", "-F", str(HERTZ), "-e", "cpu-clock", "--call-graph", "dwarf,16384"]
# Of the CPU time: with less, the shares may be wrong.
SAMPLED_MIN = 0.8
# That are listed, of those in which most samples were taken.
FUNCTIONS = 16
# A stack belongs to the first of these that any function in it, from the innermost outwards, belongs to.
STAGES = {
    "read": re.compile(r"eventlog::|rdkafka|rd_kafka"),
    "decode": re.compile(r"processor::batch|schemas::frame"),
    "dedup": re.compile(r"seen::|processor::(fill|judge)|SeenIds"),
    "enrich": re.compile(r"processor::enrich"),
    "encode": re.compile(r"processor::(row|block)|rowbinary|EventRow"),
    "commit": re.compile(r"processor::commit|sqlx|metering::"),
    "send": re.compile(r"processor::(insert|repair)|clickhouse|hyper"),
    "own": re.compile(r"processor::own"),
}


class Profile:
    def __init__(self, file=None):
        self.file = file

    def read(self, cpu_seconds):
        """The seconds, shared out as the samples are: by stage, and by (stage, innermost function)."""
        if self.file is None:
            return None
        samples = [(stage_of(names), names[0]) for names in stacks(self.file)]
        if len(samples) < SAMPLED_MIN * cpu_seconds * HERTZ:
            seen = f"{len(samples) / HERTZ:.1f} of {cpu_seconds:.1f}"
            say(f"! perf saw {seen} CPU-seconds: it lost samples, or a thread escaped it")
        counts = collections.Counter(stage for stage, _ in samples), collections.Counter(samples)
        return [{what: cpu_seconds * n / len(samples) for what, n in each.most_common()} for each in counts]


@contextlib.contextmanager
def of(pid, folder, is_wanted):
    if not is_wanted:
        yield Profile()
        return
    if shutil.which("perf") is None:
        raise Problem("perf is missing: install it (Debian: linux-perf), or leave out --profile")
    file = folder / "perf.data"
    argv = [*RECORD, "-m", "64M", "-p", str(pid), "-o", file]
    perf = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield Profile(file)
    finally:
        perf.send_signal(signal.SIGINT)
        errors = perf.communicate()[1]
    if not file.exists():
        raise Problem("perf found nothing", last_lines(errors))


def stacks(file):
    """Names of functions, the innermost first."""
    argv = ["perf", "script", "-i", file, "-F", "ip,sym", "--no-inline"]
    for block in subprocess.run(argv, capture_output=True, text=True).stdout.split("\n\n"):
        names = [line.strip().partition(" ")[2] for line in block.splitlines() if line.strip()]
        if names:
            yield names


def stage_of(names):
    return next((stage for name in names for stage, pattern in STAGES.items() if pattern.search(name)), "else")


def tables(cells):
    """One by stage, then for each cell the functions that took most."""
    stages = sorted({stage for cell in cells for run in cell.runs for stage in run.profile[0]})
    lines = (
        [
            *cell.name(),
            *(
                median((run.profile[0].get(stage, 0) / run.events * 1e6 for run in cell.runs), "{:.2f}")
                for stage in stages
            ),
        ]
        for cell in cells
    )
    yield rows(["batch", "duplicates", *stages], lines)
    for cell in cells:
        run = cell.runs[-1]
        first = list(run.profile[1].items())[:FUNCTIONS]
        lines = ([stage, f"`{name[:90]}`", f"{seconds / run.events * 1e6:.3f}"] for (stage, name), seconds in first)
        yield rows(["stage", f"where the CPU was, batches of {cell.batch}", "CPU-s a million"], lines)
