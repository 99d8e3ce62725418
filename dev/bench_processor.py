"""What `weir processor` costs, beside ClickHouse's client that inserts the same rows: `make bench-processor`.

    bench_processor.py [--events 1000000] [--rounds 2] [--batches 1,10,100] [--duplicates 0,10] [--log local|kafka]
                       [--profile]

Builds, starts Postgres and ClickHouse (and Kafka) in a folder and on ports of its own, and prints tables in Markdown.
Each figure is one `weir processor` from the beginning of a log that was filled before to its end. `--profile` samples
its stacks with `perf`, which costs a little itself. Compare ratios, not seconds, with another machine or another hour.
"""

import argparse
import sys

import measuring
import workspace
from bench import build, processor, processor_table
from bench.rig import PARTITIONS, Rig
from checks import check_cargo, check_python
from console import say
from stores import kafka

FOLDER = workspace.ROOT / ".run" / "bench-processor"


def main():
    parser = argparse.ArgumentParser(prog="bench_processor.py", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="in each log")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured; the median counts")
    parser.add_argument("--batches", type=numbers, default="1,10,100", help="events in a request")
    parser.add_argument(
        "--duplicates", type=numbers, default="0,10", help="percent of requests that repeat an earlier one"
    )
    parser.add_argument("--log", choices=PARTITIONS, default="local", help="where the log is")
    parser.add_argument("--profile", action="store_true", help="CPU by stage as well, with perf")
    return measuring.main(parser, perform)


def numbers(text):
    return [int(each) for each in text.split(",")]


def perform(chosen):
    check_python()
    check_cargo()
    if chosen.log == "kafka":
        kafka.check_tools()
    weir, floors = build.both("processor")
    measuring.inherit_nothing()
    with measuring.own_folder(FOLDER, "a bench of the processor runs here already"):
        rig = Rig(FOLDER, *measuring.copies(FOLDER, weir=weir, floors=floors), chosen.log)
        try:
            rig.start()
            measuring.headline()
            bench = processor.Bench(rig, chosen)
            bench.measure()
            say()
            say(processor_table.text(bench))
        finally:
            rig.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
