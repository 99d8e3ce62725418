"""Child processes: started, known again later, kept alive, and all of them gone at the end.

* A child runs in a session of its own, so that Ctrl-C in the terminal reaches only us and we stop it in order.
* A process is identified by its number *and* its start time: a number that was given to another process since is
  never mistaken for ours, and never killed. `processes` lists what runs, for a later start or `stop`.
* Before all are ready, one that ends is an error. Afterwards one that ends is started again after a second, because
  weir's processes end on purpose after a fatal producer error. One that ends by itself six times within a minute
  gives up; one that somebody kills with SIGKILL is started again however often.
* SIGINT, SIGTERM and SIGHUP end us through `Interrupted`, once; further ones are ignored while we clean up.
"""

import collections
import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import workspace
from console import Problem, last_lines, say, step
from looks import start_time

RESTART_DELAY_SECONDS = 1
RESTARTS_MAX = 5
RESTARTS_WINDOW_SECONDS = 60
LEFTOVER_SECONDS = 30
LOG_LINES = 5
ASK_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """One of the signals that ask us to end."""


class Signals:
    """Turns the first signal that asks us to end into `Interrupted`; while held, only once that is over."""

    def __init__(self):
        self.is_held = False
        self.pending = None

    def take(self):
        for name in ASK_TO_END:
            # Under nohup SIGHUP is ignored already, and stays so.
            if name != signal.SIGHUP or signal.getsignal(name) != signal.SIG_IGN:
                signal.signal(name, self.arrived)

    def ignore(self):
        for name in ASK_TO_END:
            signal.signal(name, signal.SIG_IGN)

    def arrived(self, number, _frame):
        self.pending = number
        if not self.is_held:
            self.interrupt()

    def interrupt(self):
        self.ignore()
        raise Interrupted(signal.Signals(self.pending).name)

    @contextlib.contextmanager
    def held(self):
        """Between the birth of a process and the note that it is ours, nothing may come."""
        self.is_held = True
        try:
            yield
        finally:
            self.is_held = False
        if self.pending is not None:
            self.interrupt()


SIGNALS = Signals()


def send(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def spawn(argv, output, errors=subprocess.STDOUT, **options):
    """A process in a session of its own that reads nothing."""
    argv = [str(part) for part in argv]
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True, **options
    )


@dataclasses.dataclass
class Spec:
    """How to start one process and how to know that it serves."""

    name: str
    argv: list
    log: Path
    is_ready: Callable[[], bool]
    env: dict = dataclasses.field(default_factory=dict)
    is_weir: bool = False
    stop_signal: int = signal.SIGTERM
    stop_seconds: int = 30
    ready_seconds: int = 60


class Process:
    """One that runs, and is started again by its supervisor."""

    def __init__(self, spec):
        self.spec, self.ends, self.restart_at = spec, collections.deque(), None
        self.start()

    def start(self):
        spec, self.restart_at = self.spec, None
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **{name: str(value) for name, value in spec.env.items()}}
        with open(spec.log, "ab") as log:
            self.log_start = os.fstat(log.fileno()).st_size
            try:
                self.popen = spawn(spec.argv, log, cwd=workspace.ROOT, env=environment)
            except OSError as error:
                raise Problem(f"cannot start {spec.name}: {spec.argv[0]}: {error.strerror}") from None
        self.pid = self.popen.pid
        self.started = start_time(self.pid)

    def has_ended(self):
        return self.popen.poll() is not None

    def log_tail(self):
        """The last lines that this start has written."""
        with open(self.spec.log, "rb") as log:
            log.seek(self.log_start)
            return last_lines(log.read().decode(errors="replace"))

    def problem(self, what):
        return Problem(f"{self.spec.name} {what}; its log is {workspace.shown(self.spec.log)}", self.log_tail())

    def how_it_ended(self):
        code = self.popen.poll()
        return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"

    def wait_until_ready(self):
        deadline = time.monotonic() + self.spec.ready_seconds
        while not self.spec.is_ready():
            if self.has_ended():
                raise self.problem(f"ended while starting ({self.how_it_ended()})")
            if time.monotonic() > deadline:
                raise self.problem(f"is not ready after {self.spec.ready_seconds} s")
            time.sleep(0.05)


class Supervisor:
    """Of the processes of one folder."""

    def __init__(self, home):
        self.home, self.processes = home, {}

    def start(self, *specs):
        """Starts all at once, then waits until each is ready."""
        if len(specs) > 1:
            with step("starting " + ", ".join(spec.name for spec in specs)):
                return self.start_quietly(specs)
        return self.start_quietly(specs)

    def start_quietly(self, specs):
        for spec in specs:
            with SIGNALS.held():
                self.processes[spec.name] = Process(spec)
                self.write_processes()
        for spec in specs:
            self.processes[spec.name].wait_until_ready()

    def pids(self):
        return {name: process.pid for name, process in self.processes.items()}

    def watch(self, on_change=lambda: None):
        """Stays until a signal, or until a process ends too often. Calls `on_change` after each restart."""
        while True:
            for process in self.processes.values():
                if process.restart_at is None:
                    if process.has_ended():
                        self.ended(process)
                elif time.monotonic() >= process.restart_at:
                    with SIGNALS.held():
                        process.start()
                        self.write_processes()
                    on_change()
            time.sleep(0.1)

    def ended(self, process):
        now, ends, how = time.monotonic(), process.ends, process.how_it_ended()
        while ends and now - ends[0] > RESTARTS_WINDOW_SECONDS:
            ends.popleft()
        if process.popen.returncode != -signal.SIGKILL:
            ends.append(now)
        if len(ends) > RESTARTS_MAX:
            raise process.problem(f"ended {len(ends)} times within a minute ({how}), giving up")
        problem = process.problem(f"ended ({how}); starting it again")
        say(f"! {problem}, which ends:")
        for line in problem.detail.splitlines()[-LOG_LINES:]:
            say(f"    {line}")
        process.restart_at = now + RESTART_DELAY_SECONDS

    def end(self, name):
        """One alone, for good."""
        stop_processes([self.processes.pop(name)])
        self.write_processes()

    def stop(self):
        """weir's processes first, so that they can still write to the stores. Returns whether there was any."""
        had_any = bool(self.processes)
        SIGNALS.ignore()
        for is_weir in (True, False):
            if ending := [process for process in self.processes.values() if process.spec.is_weir == is_weir]:
                with step("stopping " + ", ".join(process.spec.name for process in ending)):
                    for name in stop_processes(ending):
                        say(f"! {name} did not end in time and was killed")
        self.processes = {}
        (self.home / "processes").unlink(missing_ok=True)
        return had_any

    def write_processes(self):
        """A line for each: whether it is weir's, its name, number and start time, and the signal that ends it."""
        lines = (
            f"{int(each.spec.is_weir)} {name} {each.pid} {each.started} {int(each.spec.stop_signal)}\n"
            for name, each in self.processes.items()
        )
        workspace.write_atomically(self.home / "processes", "".join(lines))


def stop_processes(processes):
    killed = stop_together(
        [(each.spec.name, each.pid, each.started, each.spec.stop_signal, each.spec.stop_seconds) for each in processes]
    )
    for each in processes:
        # Reaps the child, so that its exit code is known and no zombie stays.
        each.popen.wait()
    return killed


def stop_together(rows):
    """Asks all to stop at once, waits for each, kills what does not obey. Takes (name, pid, started, signal, seconds).

    Returns the names of those that had to be killed.
    """
    begun = time.monotonic()
    rows = [row for row in rows if row[2] is not None and start_time(row[1]) == row[2]]
    for _, pid, _, stop_signal, _ in rows:
        send(pid, stop_signal)
    killed = []
    for name, pid, started, _, seconds in rows:
        while start_time(pid) == started:
            if time.monotonic() - begun > seconds and name not in killed:
                killed.append(name)
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            time.sleep(0.02)
    return killed


def listed(home):
    """What the list of `home` says: (whether it is weir's, name, pid, start time or None, signal that ends it)."""
    rows = map(str.split, (workspace.read_if_any(home / "processes") or "").splitlines())
    return [
        (is_weir == "1", name, int(pid), int(started) if started.isdigit() else None, int(stop_signal))
        for is_weir, name, pid, started, stop_signal in rows
    ]


def end_leftovers(home):
    """Ends what an earlier run of `home` started and could not end itself. Nothing runs in most cases."""
    rows = [row for row in listed(home) if row[3] is not None and start_time(row[2]) == row[3]]
    for of_weir in (True, False):
        if leftovers := [(*row, LEFTOVER_SECONDS) for is_weir, *row in rows if is_weir == of_weir]:
            with step("ending what an earlier run left behind: " + ", ".join(row[0] for row in leftovers)):
                stop_together(leftovers)
    (home / "processes").unlink(missing_ok=True)
