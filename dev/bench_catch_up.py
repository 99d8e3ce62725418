"""How long a processor takes for ten million events that wait in the log, and whether it grows: `make bench-catch-up`.

    bench_catch_up.py [--events 10000000] [--batch 100] [--log local|kafka]

Starts Postgres and ClickHouse (and Kafka) in a folder and on ports of its own, fills a log, then starts one `weir
processor`. Needs 8 GiB of disk, and two minutes after the build.
"""

import argparse
import shutil
import sys

import measuring
import workspace
from bench import build, catch_up
from bench.rig import PARTITIONS, Rig
from checks import check_cargo, check_python
from console import Problem, say
from stores import kafka

FOLDER = workspace.ROOT / ".run" / "bench-catch-up"
# Of the disk, for each event: its record in the log, its row, and that again while ClickHouse merges.
EVENT_BYTES = 800


def main():
    parser = argparse.ArgumentParser(prog="bench_catch_up.py", description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000, help="that wait")
    parser.add_argument("--batch", type=int, default=100, help="events in a request")
    parser.add_argument("--log", choices=PARTITIONS, default="local", help="where the log is")
    return measuring.main(parser, perform)


def perform(chosen):
    check_python()
    check_cargo()
    if chosen.log == "kafka":
        kafka.check_tools()
    needed = chosen.events * EVENT_BYTES
    if shutil.disk_usage(workspace.ROOT).free < needed:
        raise Problem(f"{chosen.events:,} events need {needed >> 30} GiB free on the disk: choose fewer with --events")
    weir, floors = build.both("processor")
    measuring.inherit_nothing()
    with measuring.own_folder(FOLDER, "a bench of catching up runs here already"):
        rig = Rig(FOLDER, *measuring.copies(FOLDER, weir=weir, floors=floors), chosen.log)
        try:
            rig.start()
            measuring.headline()
            found = catch_up.CatchUp(rig, chosen.events, chosen.batch)
            found.measure()
            say()
            say(found.text())
        finally:
            rig.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
