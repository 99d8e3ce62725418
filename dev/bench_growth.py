"""Whether `weir ingest` costs as much per event with many tenants, keys and connections as with few: `make bench-growth`.

    bench_growth.py [--series connections,closed,tenants,capped] [--sizes 10x10,1000x1000] [--seconds 4] [--rounds 3]

Builds, starts Postgres, Kafka, and a `weir ingest` for each size in a folder and on ports of its own, and prints tables
in Markdown. Compare ratios, not seconds, with another machine or another hour.
"""

import argparse
import resource
import sys

import measuring
import workspace
from bench import build, growth, growth_table
from bench.sizes import Size, Sizes
from checks import check_cargo, check_python
from console import Problem, say
from stores import kafka

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
    return measuring.main(parser, perform)


def perform(chosen):
    check_python()
    check_cargo()
    kafka.check_tools()
    allow_descriptors()
    sizes = [Size.parse(text) for text in chosen.sizes.split(",")]
    # The cap comes last in any case: it stays.
    series = [name for name in SERIES if name in chosen.series.split(",")]
    weir, floors = build.both()
    measuring.inherit_nothing()
    with measuring.own_folder(FOLDER, "a bench of growth runs here already"):
        subject = Sizes(FOLDER, *measuring.copies(FOLDER, weir=weir, floors=floors))
        try:
            subject.start(growth.BATCHES)
            measuring.headline()
            found = growth.Growth(subject, sizes, chosen.rounds, chosen.seconds)
            for name in series:
                SERIES[name](found)
            say()
            say(growth_table.text(found))
        finally:
            subject.stop()
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
