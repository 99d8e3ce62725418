"""What the user sees, and commands that are run for their output.

Every line is written at once, so that it is seen in pipes and CI logs too. A terminal that went away
(SIGHUP, a closed pipe) never disturbs the work: output is then dropped.
Whatever the user can put right is raised as `Problem` and shown as one line, without a traceback.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

# After so many seconds of silence a long step says that it is still alive.
STILL_ALIVE_SECONDS = 10


class Problem(Exception):
    """Something that stops us, and what to do about it. `detail` is shown indented below, e.g. the end of a log."""

    def __init__(self, message, detail=""):
        super().__init__(message)
        self.detail = detail


def say(line="", to=None):
    with contextlib.suppress(OSError, ValueError):
        print(line, file=to, flush=True)


def warn(*lines):
    """Loudly, what is left out."""
    say("!" * 100)
    for line in lines:
        say(f"! {line}")
    say("!" * 100)


def show_problem(problem):
    say(f"weir: {problem}", sys.stderr)
    for line in problem.detail.splitlines():
        say(f"    {line}", sys.stderr)


@contextlib.contextmanager
def step(what):
    """Announces a step that may take a few seconds, reminds that it is running, and says how long it took."""
    started = time.monotonic()
    done = threading.Event()

    def remind():
        while not done.wait(STILL_ALIVE_SECONDS):
            say(f"  ... {what}: {time.monotonic() - started:.0f} s so far")

    say(f"- {what}")
    threading.Thread(target=remind, daemon=True).start()
    try:
        yield
    finally:
        done.set()
    took = time.monotonic() - started
    if took >= 1:
        say(f"  done in {took:.1f} s")


def last_lines(text, count=12):
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def output_of(argv, failure, **options):
    """What a command writes to its standard output. If it fails, `failure` says so, with the last it wrote as detail.

    `options` are those of `subprocess.run`.
    """
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    argv = [str(part) for part in argv]
    try:
        result = subprocess.run(argv, capture_output=True, text=True, errors="replace", **options)
    except OSError as error:
        raise Problem(f"{failure}: cannot run {argv[0]}: {error.strerror}") from None
    except subprocess.TimeoutExpired as expired:
        raise Problem(f"{failure}: no answer within {expired.timeout:.0f} s") from None
    if result.returncode != 0:
        raise Problem(f"{failure} (exit code {result.returncode})", last_lines(result.stdout + result.stderr))
    return result.stdout


def run_visibly(argv, **popen_options):
    """Runs a command that writes to the terminal itself; returns its exit code. It ends with us, its children too."""
    sys.stdout.flush()
    try:
        command = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, **popen_options)
    except OSError as error:
        raise Problem(f"cannot run {argv[0]}: {error.strerror}") from None
    try:
        return command.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(command.pid, signal.SIGTERM)
        command.wait()
        raise
