"""Where figures were measured: without that they are worth nothing."""

import os
import platform
import subprocess
from pathlib import Path

import workspace

# Before a bench clears its environment.
GIVEN = os.environ.get("WEIR_BIN")


def lines():
    models = (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    cpu = next(models, "unknown").rpartition(":")[2].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    rustc = output("rustc", "--version")
    yield f"Machine: {cpu}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, {rustc}"
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    yield f"Load average (1, 5, 15 minutes) before the first figure: {busy}"
    yield f"weir: {GIVEN or output('git', 'describe', '--always', '--dirty') + ', release build'}"


def output(*argv):
    try:
        return subprocess.run(argv, cwd=workspace.ROOT, capture_output=True, text=True).stdout.strip() or "unknown"
    except OSError:
        return "unknown"
