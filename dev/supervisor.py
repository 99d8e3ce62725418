"""Keeps a set of processes alive: stores first, then weir's own, and all of them gone at the end.

* Before all are ready, one that ends is an error. Afterwards one that ends is started again after a second, because
  weir's processes end on purpose after a fatal producer error. One that ends by itself six times within a minute
  gives up; one that somebody kills with SIGKILL is started again however often.
* `processes` lists what runs, with start times. A later start or `stop` finds there what a crash of ours left behind.
* Signals: SIGINT, SIGTERM and SIGHUP end us through `Interrupted`, once; further ones are ignored while we clean up.
"""

import collections
import contextlib
import dataclasses
import signal
import time

import workspace
from console import Problem, say, step
from process import Child, start_time, stop_children, stop_together

RESTART_DELAY_SECONDS = 1
RESTARTS_MAX = 5
LOG_LINES = 5
RESTARTS_WINDOW_SECONDS = 60


class Interrupted(BaseException):
    """One of the signals that ask us to end."""


class Signals:
    """Turns the first signal that asks us to end into `Interrupted`; while held, only once that is over."""

    NAMES = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self.is_held = False
        self.pending = None

    def take(self):
        for name in self.NAMES:
            # Under nohup SIGHUP is ignored already, and stays so.
            if name != signal.SIGHUP or signal.getsignal(name) != signal.SIG_IGN:
                signal.signal(name, self.arrived)

    def ignore(self):
        for name in self.NAMES:
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


@dataclasses.dataclass
class Watched:
    spec: object
    child: object
    ends: collections.deque = dataclasses.field(default_factory=collections.deque)
    restart_at: float = None


class Supervisor:
    def __init__(self, home):
        self.home = home
        self.processes_file = home / "processes"
        self.watched = []

    def start(self, *specs):
        """Starts all at once, then waits until each is ready."""
        begun = []
        for spec in specs:
            with SIGNALS.held():
                watched = Watched(spec, Child(spec))
                self.watched.append(watched)
                self.write_processes()
            begun.append(watched)
        for watched in begun:
            watched.child.wait_until_ready()

    def pids(self):
        return {watched.spec.name: watched.child.pid for watched in self.watched}

    def watch(self, on_change=lambda: None):
        """Stays until a signal, or until a process ends too often. Calls `on_change` after each restart."""
        while True:
            for watched in self.watched:
                if watched.restart_at is not None:
                    if time.monotonic() >= watched.restart_at:
                        with SIGNALS.held():
                            watched.restart_at = None
                            watched.child = Child(watched.spec)
                            self.write_processes()
                        on_change()
                elif watched.child.exit_code() is not None:
                    self.ended(watched)
            time.sleep(0.1)

    def ended(self, watched):
        now = time.monotonic()
        while watched.ends and now - watched.ends[0] > RESTARTS_WINDOW_SECONDS:
            watched.ends.popleft()
        if watched.child.exit_code() != -signal.SIGKILL:
            watched.ends.append(now)
        name, how = watched.spec.name, watched.child.how_it_ended()
        if len(watched.ends) > RESTARTS_MAX:
            message = (
                f"{name} ended {len(watched.ends)} times within a minute ({how}), giving up; {watched.spec.its_log}"
            )
            raise Problem(message, watched.child.log_tail())
        say(f"! {name} ended ({how}); starting it again; {watched.spec.its_log}, which ends:")
        for line in watched.child.log_tail().splitlines()[-LOG_LINES:]:
            say(f"    {line}")
        watched.restart_at = now + RESTART_DELAY_SECONDS

    def end(self, name):
        """One alone, for good."""
        (ended,) = (watched for watched in self.watched if watched.spec.name == name)
        stop_children([ended.child])
        self.watched.remove(ended)
        self.write_processes()

    def stop(self):
        """weir's processes first, so that they can still write to the stores. Returns whether there was any."""
        had_any = bool(self.watched)
        SIGNALS.ignore()
        for is_weir in (True, False):
            children = [watched.child for watched in self.watched if watched.spec.is_weir == is_weir]
            if children:
                with step("stopping " + ", ".join(child.spec.name for child in children)):
                    for name in stop_children(children):
                        say(f"! {name} did not end in time and was killed")
        self.watched = []
        self.processes_file.unlink(missing_ok=True)
        return had_any

    def write_processes(self):
        lines = [
            f"{int(w.spec.is_weir)} {w.spec.name} {w.child.pid} {w.child.started} {int(w.spec.stop_signal)}\n"
            for w in self.watched
        ]
        workspace.write_atomically(self.processes_file, "".join(lines))


def end_leftovers(home):
    """Ends what an earlier run of `home` started and could not end itself. Nothing runs in most cases."""
    file = home / "processes"
    if not file.exists():
        return
    rows = [line.split() for line in file.read_text().splitlines()]
    for is_weir in ("1", "0"):
        leftovers = [
            (name, int(pid), int(started), int(stop_signal), 30)
            for kind, name, pid, started, stop_signal in rows
            if kind == is_weir and started.isdigit() and start_time(int(pid)) == int(started)
        ]
        if leftovers:
            with step("ending what an earlier run left behind: " + ", ".join(row[0] for row in leftovers)):
                stop_together(leftovers)
    file.unlink()
