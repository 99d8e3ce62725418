"""Figures as people read them: where they were measured, and tables in Markdown, as they stand in benches/README.md."""

import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import workspace
from console import say


def headline():
    """Without the place figures are worth nothing."""
    models = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    cpu = next(models, "unknown").rpartition(":")[2].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    rustc = output("rustc", "--version")
    say(f"\nMachine: {cpu}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, {rustc}")
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    say(f"Load average (1, 5, 15 minutes) before the first figure: {busy}")
    say(f"weir: {os.environ.get('WEIR_BIN') or output('git', 'describe', '--always', '--dirty') + ', release build'}")
    say(f"Command: dev/river.py {' '.join(sys.argv[1:])}")


def output(*argv):
    try:
        return subprocess.run(argv, cwd=workspace.ROOT, capture_output=True, text=True).stdout.strip() or "unknown"
    except OSError:
        return "unknown"


def rows(headings, lines):
    lines = [headings, ["--:"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def spread(values, form="{:.2f}"):
    """Median, and least to most where there are several."""
    values = list(values)
    if len(values) == 1:
        return form.format(values[0])
    return f"{form.format(statistics.median(values))} ({form.format(min(values))}-{form.format(max(values))})"


def times(values):
    return spread(values, "{:.2f}x")


def median(values, form="{:,.0f}"):
    return form.format(statistics.median(values))


def quotients(values, base):
    """Of the same rounds."""
    return [a / b for a, b in zip(values, base, strict=True)]
