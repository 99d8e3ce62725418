"""Programs that a bench runs to their end, and what a process has cost so far."""

import json
import subprocess
import time
from pathlib import Path

from console import Problem, last_lines
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
