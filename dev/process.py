"""Child processes: how they are started, known again later, and stopped.

A child runs in a session of its own, so that Ctrl-C in the terminal reaches only us and we stop it in order.
A process is identified by its number *and* its start time: a number that was given to another process since is
never mistaken for ours, and never killed.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import workspace
from console import Problem, last_lines


@dataclasses.dataclass
class Spec:
    """How to start one process and how to know that it serves."""

    name: str
    argv: list
    log: Path
    is_ready: Callable[[], bool]
    env: dict = dataclasses.field(default_factory=dict)
    is_weir: bool = False
    # (user id, group id) to run as, where it must not be root.
    run_as: tuple | None = None
    stop_signal: int = signal.SIGTERM
    stop_seconds: int = 30
    ready_seconds: int = 60

    @property
    def its_log(self):
        return f"its log is {workspace.shown(self.log)}"


def start_time(pid):
    """When the process began, in clock ticks since boot, or None if it does not run.

    A zombie does not, unless it is only the first of several threads: the others still hold its ports and files.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    threads = int(fields[17])
    return None if fields[0] in "ZX" and threads <= 1 else int(fields[19])


class Child:
    def __init__(self, spec):
        self.spec = spec
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        self.log_start = spec.log.stat().st_size if spec.log.exists() else 0
        user, group = spec.run_as or (None, None)
        with open(spec.log, "ab") as log:
            try:
                self.popen = subprocess.Popen(
                    [str(part) for part in spec.argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd="/" if spec.run_as else workspace.ROOT,
                    env={**os.environ, **{name: str(value) for name, value in spec.env.items()}},
                    start_new_session=True,
                    user=user,
                    group=group,
                    extra_groups=None if user is None else [],
                )
            except OSError as error:
                raise Problem(f"cannot start {spec.name}: {spec.argv[0]}: {error.strerror}") from None
        self.pid = self.popen.pid
        self.started = start_time(self.pid)

    def exit_code(self):
        return self.popen.poll()

    def log_tail(self):
        """The last lines that this start has written."""
        with open(self.spec.log, "rb") as log:
            log.seek(self.log_start)
            return last_lines(log.read().decode(errors="replace"))

    def how_it_ended(self):
        code = self.exit_code()
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exit code {code}"

    def wait_until_ready(self):
        deadline = time.monotonic() + self.spec.ready_seconds
        while not self.spec.is_ready():
            if self.exit_code() is not None:
                message = f"{self.spec.name} ended while starting ({self.how_it_ended()}); {self.spec.its_log}"
                raise Problem(message, self.log_tail())
            if time.monotonic() > deadline:
                message = f"{self.spec.name} is not ready after {self.spec.ready_seconds} s; {self.spec.its_log}"
                raise Problem(message, self.log_tail())
            time.sleep(0.05)


def stop_together(processes):
    """Asks all to stop at once, waits for each, kills what does not obey. Takes (name, pid, started, signal, seconds).

    Returns the names of those that had to be killed.
    """
    begun = time.monotonic()
    for _, pid, started, stop_signal, _ in processes:
        if started is not None and start_time(pid) == started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, stop_signal)
    killed = []
    for name, pid, started, _, seconds in processes:
        while started is not None and start_time(pid) == started:
            if time.monotonic() - begun > seconds and name not in killed:
                killed.append(name)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.02)
    return killed


def stop_children(children):
    killed = stop_together([(c.spec.name, c.pid, c.started, c.spec.stop_signal, c.spec.stop_seconds) for c in children])
    for child in children:
        # Reaps the child, so that its exit code is known and no zombie stays.
        child.popen.wait()
    return killed
