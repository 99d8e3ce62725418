"""What `weir ingest` costs, beside what nothing can beat: `make bench-ingest`.

    bench_ingest.py [--seconds 8] [--rounds 3] [--batches 1,10,100,1000]

Builds, starts Postgres, Kafka and `weir ingest` in a folder and on ports of its own, and prints tables in Markdown.
The default takes eight minutes after the build. Compare ratios, not seconds, with another machine or another hour.
"""

import argparse
import contextlib
import os
import shutil
import sys

import workspace
from bench import build, ingest, machine, table
from bench.subject import Subject
from checks import check_cargo, check_python
from console import Problem, say, show_problem
from crash.subject import NOT_INHERITED
from stores import kafka, postgres_place
from supervisor import SIGNALS, Interrupted, end_leftovers

FOLDER = workspace.ROOT / ".run" / "bench"


def main():
    parser = argparse.ArgumentParser(prog="bench_ingest.py", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="of load for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--batches", default="1,10,100,1000", help="events in a request")
    chosen = parser.parse_args()
    os.umask(0o022)
    SIGNALS.take()
    try:
        return perform(chosen)
    except Problem as problem:
        show_problem(problem)
    except Interrupted:
        return 130
    return 1


def perform(chosen):
    check_python()
    check_cargo()
    kafka.check_tools()
    batches = [int(each) for each in chosen.batches.split(",")]
    built = build.both()
    for name in [name for name in os.environ if name.startswith((*NOT_INHERITED, "TOKIO_"))]:
        del os.environ[name]
    workspace.make_folder(FOLDER.parent)
    with workspace.locked(FOLDER.with_suffix(".lock"), "a bench runs here already"):
        remove(FOLDER)
        workspace.make_folder(FOLDER / "log")
        # Copies, so that a build in between does not change what is measured.
        weir, floors = (shutil.copy2(path, FOLDER / name) for path, name in zip(built, ("weir", "floors"), strict=True))
        subject = Subject(FOLDER, weir, floors)
        try:
            subject.start(batches)
            say()
            say("\n".join(machine.lines()))
            say(f"Command: {' '.join(['dev/bench_ingest.py', *sys.argv[1:]])}")
            bench = ingest.Bench(subject, batches, chosen.rounds, chosen.seconds)
            bench.measure()
            say()
            say(table.text(bench))
        finally:
            subject.stop()
            remove(FOLDER)
    return 0


def remove(folder):
    for home in (folder / "migrating", folder):
        end_leftovers(home)
    with contextlib.suppress(FileNotFoundError):
        postgres_place.remove(folder / "postgres")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
