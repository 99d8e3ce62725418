"""Programs that a bench runs to their end, and what a process has cost so far."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

from console import Problem, last_lines
from crash.subject import descendants
from supervisor import SIGNALS


def start(argv, environment):
    with SIGNALS.held():
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )


def finish(child):
    """The JSON that it prints."""
    try:
        output, errors = child.communicate()
    except BaseException:
        child.kill()
        child.wait()
        raise
    if child.returncode != 0:
        program, command, *_ = child.args
        raise Problem(f"`{Path(program).name} {command}` failed", last_lines(errors or output))
    return json.loads(output)


def run(argv, environment):
    return finish(start(argv, environment))


def cpu_seconds(pid):
    """User and system time of the process with all its threads, the ended ones too, in nanoseconds' precision: the
    clock that clock_getcpuclockid(3) names. /proc/<pid>/stat counts in hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)


def family_cpu_seconds(pid):
    """Of the process and all that descend from it, the ended ones too; in hundredths of a second. For Postgres, which
    has a process for each connection."""
    ticks = 0
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            # User and system time, its own and of the children that have ended.
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")
