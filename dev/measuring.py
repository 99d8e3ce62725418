"""What the benches and the soak have around what they measure: signals, a folder of their own, a headline, the end."""

import contextlib
import os
import shutil
import sys
from pathlib import Path

import workspace
from bench import machine
from console import Problem, say, show_problem
from crash.subject import NOT_INHERITED
from stores import postgres_place
from supervisor import SIGNALS, Interrupted, end_leftovers


def main(parser, perform):
    """The exit code of `perform` with the options of the command line; 1 after a problem, 130 after Ctrl-C."""
    chosen = parser.parse_args()
    # Folders must be open to the user that Postgres runs as.
    os.umask(0o022)
    SIGNALS.take()
    try:
        return perform(chosen)
    except Problem as problem:
        show_problem(problem)
    except Interrupted:
        return 130
    return 1


@contextlib.contextmanager
def own_folder(folder, problem, *subfolders, is_kept=False):
    """Nobody else measures there, and nothing of an earlier run is left. Deleted at the end, unless `is_kept`."""
    workspace.make_folder(folder.parent)
    with workspace.locked(folder.with_suffix(".lock"), problem):
        remove(folder)
        for each in ("log", *subfolders):
            workspace.make_folder(folder / each)
        try:
            yield
        finally:
            if not is_kept:
                remove(folder)


def remove(folder):
    for home in (folder / "migrating", folder):
        end_leftovers(home)
    with contextlib.suppress(FileNotFoundError):
        postgres_place.remove(folder / "postgres")
    shutil.rmtree(folder, ignore_errors=True)


def copies(folder, **programs):
    """By name, so that a build in between does not change what is measured."""
    return [shutil.copy2(path, folder / name) for name, path in programs.items()]


def inherit_nothing():
    """The stores must be those that are started here, whatever the developer's shell says."""
    for name in [name for name in os.environ if name.startswith((*NOT_INHERITED, "TOKIO_"))]:
        del os.environ[name]


def headline():
    say()
    say("\n".join(machine.lines()))
    say(f"Command: {' '.join(['dev/' + Path(sys.argv[0]).name, *sys.argv[1:]])}")
