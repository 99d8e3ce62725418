"""CPU time by stage, from samples of the stacks of a process's threads: with `perf`, where that is there."""

import collections
import contextlib
import re
import shutil
import signal
import subprocess

from console import Problem, last_lines, say

HERTZ = 499
# For stacks that perf has no time to write.
BUFFER = "64M"
# Of the CPU time: with less, the shares may be wrong.
SAMPLED_MIN = 0.8
# A stack belongs to the first of these that any function in it, from the innermost outwards, belongs to.
STAGES = {
    "read": r"eventlog::|rdkafka|rd_kafka",
    "decode": r"processor::batch|schemas::frame",
    "dedup": r"seen::|processor::(fill|judge)|SeenIds",
    "enrich": r"processor::enrich",
    "encode": r"processor::(row|block)|rowbinary|EventRow",
    "commit": r"processor::commit|sqlx|metering::",
    "send": r"processor::(insert|repair)|clickhouse|hyper",
    "own": r"processor::own",
}
PATTERNS = {stage: re.compile(pattern) for stage, pattern in STAGES.items()}


class Profile:
    def __init__(self, file=None):
        self.file = file

    def read(self, cpu_seconds):
        """The seconds, shared out as the samples are: by stage, and by (stage, innermost function). Nothing without
        samples."""
        if self.file is None:
            return None
        samples = [(stage_of(names), names[0]) for names in stacks(self.file)]
        if len(samples) < SAMPLED_MIN * cpu_seconds * HERTZ:
            say(
                f"! perf saw {len(samples) / HERTZ:.1f} of {cpu_seconds:.1f} CPU-seconds: it lost samples, or a thread escaped it"
            )
        stages = collections.Counter(stage for stage, _ in samples)
        functions = collections.Counter(samples)
        return [
            {what: cpu_seconds * count / len(samples) for what, count in counts.most_common()}
            for counts in (stages, functions)
        ]


@contextlib.contextmanager
def of(pid, folder, is_wanted):
    if not is_wanted:
        yield Profile()
        return
    if shutil.which("perf") is None:
        raise Problem("perf is missing: install it (Debian: linux-perf), or leave out --profile")
    file = folder / "perf.data"
    argv = [
        "perf",
        "record",
        "-q",
        "-F",
        HERTZ,
        "-e",
        "cpu-clock",
        "--call-graph",
        "dwarf,16384",
        "-p",
        pid,
        "-o",
        file,
    ]
    perf = subprocess.Popen([str(part) for part in argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield Profile(file)
    finally:
        perf.send_signal(signal.SIGINT)
        errors = perf.communicate()[1]
    if not file.exists():
        raise Problem("perf found nothing", last_lines(errors))


def stacks(file):
    """Names of functions, the innermost first."""
    result = subprocess.run(
        ["perf", "script", "-i", str(file), "-F", "ip,sym", "--no-inline"], capture_output=True, text=True
    )
    for block in result.stdout.split("\n\n"):
        names = [line.strip().partition(" ")[2] for line in block.splitlines() if line.strip()]
        if names:
            yield names


def stage_of(names):
    for name in names:
        for stage, pattern in PATTERNS.items():
            if pattern.search(name):
                return stage
    return "else"
