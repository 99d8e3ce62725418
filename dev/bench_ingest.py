"""What `weir ingest` costs, beside what nothing can beat: `make bench-ingest`.

    bench_ingest.py [--seconds 8] [--rounds 3] [--batches 1,10,100,1000]

Builds, starts Postgres, Kafka and `weir ingest` in a folder and on ports of its own, and prints tables in Markdown.
The default takes eight minutes after the build. Compare ratios, not seconds, with another machine or another hour.
"""

import argparse
import sys

import measuring
import workspace
from bench import build, ingest, table
from bench.subject import Subject
from checks import check_cargo, check_python
from console import say
from stores import kafka

FOLDER = workspace.ROOT / ".run" / "bench"


def main():
    parser = argparse.ArgumentParser(prog="bench_ingest.py", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="of load for each figure")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--batches", default="1,10,100,1000", help="events in a request")
    return measuring.main(parser, perform)


def perform(chosen):
    check_python()
    check_cargo()
    kafka.check_tools()
    batches = [int(each) for each in chosen.batches.split(",")]
    weir, floors = build.both()
    measuring.inherit_nothing()
    with measuring.own_folder(FOLDER, "a bench runs here already"):
        subject = Subject(FOLDER, *measuring.copies(FOLDER, weir=weir, floors=floors))
        try:
            subject.start(batches)
            measuring.headline()
            bench = ingest.Bench(subject, batches, chosen.rounds, chosen.seconds)
            bench.measure()
            say()
            say(table.text(bench))
        finally:
            subject.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
