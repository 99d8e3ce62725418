"""Whether `weir ingest` costs as much per event with many tenants, keys and connections as with few: `make bench-growth`.

    bench_growth.py [--series connections,closed,tenants,capped] [--sizes 10x10,1000x1000] [--seconds 4] [--rounds 3]

Builds, starts Postgres, Kafka, and a `weir ingest` for each size in a folder and on ports of its own, and prints tables
in Markdown. Compare ratios, not seconds, with another machine or another hour.
"""

import argparse
import os
import resource
import shutil
import sys

import workspace
from bench import build, growth, growth_table, machine
from bench.sizes import Size, Sizes
from bench_ingest import remove
from checks import check_cargo, check_python
from console import Problem, say, show_problem
from crash.subject import NOT_INHERITED
from stores import kafka
from supervisor import SIGNALS, Interrupted

FOLDER = workspace.ROOT / ".run" / "bench-growth"
SERIES = {
    "connections": growth.Growth.connections,
    "closed": growth.Growth.closed_loop,
    "tenants": growth.Growth.tenants,
    "capped": growth.Growth.capped,
}
# Tenants and keys.
SIZES = "10x10,1000x1000,100000x100000,100000x1000000"
# Ten thousand connections, and what else a process has open.
DESCRIPTORS = 11_000


def main():
    parser = argparse.ArgumentParser(prog="bench_growth.py", description=__doc__.splitlines()[0])
    parser.add_argument("--series", default=",".join(SERIES), help="which measurements")
    parser.add_argument("--sizes", default=SIZES, help="tenants x keys; the first is what others are held against")
    parser.add_argument("--seconds", type=int, default=4, help="of load for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
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
    allow_descriptors()
    sizes = [Size.parse(text) for text in chosen.sizes.split(",")]
    # The cap comes last in any case: it stays.
    series = [name for name in SERIES if name in chosen.series.split(",")]
    built = build.both()
    for name in [name for name in os.environ if name.startswith((*NOT_INHERITED, "TOKIO_"))]:
        del os.environ[name]
    workspace.make_folder(FOLDER.parent)
    with workspace.locked(FOLDER.with_suffix(".lock"), "a bench of growth runs here already"):
        remove(FOLDER)
        workspace.make_folder(FOLDER / "log")
        # Copies, so that a build in between does not change what is measured.
        weir, floors = (shutil.copy2(path, FOLDER / name) for path, name in zip(built, ("weir", "floors"), strict=True))
        subject = Sizes(FOLDER, weir, floors)
        try:
            subject.start(growth.BATCHES)
            say()
            say("\n".join(machine.lines()))
            say(f"Command: {' '.join(['dev/bench_growth.py', *sys.argv[1:]])}")
            found = growth.Growth(subject, sizes, chosen.rounds, chosen.seconds)
            for name in series:
                SERIES[name](found)
            say()
            say(growth_table.text(found))
        finally:
            subject.stop()
            remove(FOLDER)
    return 0


def allow_descriptors():
    """For the floors, which inherit it; weir sees to that itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        raise Problem(f"a process may have {hard} descriptors open here, and needs {DESCRIPTORS}: raise `ulimit -Hn`")
    if soft == resource.RLIM_INFINITY or soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))


if __name__ == "__main__":
    sys.exit(main())
