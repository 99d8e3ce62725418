"""The river under a steady load for a while: does anything grow? `make soak`.

    soak.py [--shape cluster|run] [--minutes 30] [--load 60] [--rate N] [--port 7700]

Starts a river in a folder and on ports of its own, finds the rate that it sustains from end to end, sends `--load`
percent of that for so many minutes, and looks at every process each 10 s. At the end everything must be stored once,
and memory, descriptors and what is not processed yet must not have grown. Exit code 1 if one of these is not so; the
folder then stays. Samples stay in .run/soak-<shape>.jsonl in any case.
"""

import argparse
import os
import shutil
import sys

import ports
import running
import workspace
from bench import machine
from checks import check_python
from console import Problem, say, show_problem
from crash.subject import River
from shapes import Shape, parse_port
from soaking.soak import Soak
from stores import kafka, postgres_place, redis
from supervisor import SIGNALS, Interrupted, end_leftovers


def main():
    parser = argparse.ArgumentParser(prog="soak.py", description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=["cluster", "run"], default="cluster", help="processes and stores")
    parser.add_argument("--minutes", type=float, default=30, help="of load")
    parser.add_argument("--load", type=int, default=60, help="percent of the rate that the river sustains")
    parser.add_argument("--rate", type=int, help="events a second that it sustains; found by trying, without it")
    parser.add_argument("--port", default="7700", help="the first of its ports")
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
    shape = Shape(chosen.shape == "cluster", parse_port(chosen.port))
    shape.starts_postgres = shape.starts_clickhouse = True
    shape.starts_kafka = shape.starts_redis = shape.is_cluster
    check_python()
    if chosen.minutes < 1:
        raise Problem("--minutes must be at least 1: thirds of less hold too few samples")
    if shape.is_cluster:
        kafka.check_tools()
        redis.check_tools()
    folder = workspace.ROOT / ".run" / "soak" / chosen.shape
    binary = running.build()
    workspace.make_folder(folder.parent)
    with workspace.locked(folder.with_suffix(".lock"), f"a soak of this shape runs in {workspace.shown(folder)} already"):
        end_leftovers(folder)
        remove(folder)
        ports.check_free(shape.ports())
        workspace.make_folder(folder / "log")
        workspace.make_folder(folder / "journals")
        # A copy, so that a build in between does not change what is running.
        river = River(folder, shape, shutil.copy2(binary, folder / "weir"))
        say("\n".join(machine.lines()))
        say(f"Command: {' '.join(['dev/soak.py', *sys.argv[1:]])}")
        soak = Soak(river, chosen, workspace.ROOT / ".run" / f"soak-{chosen.shape}.jsonl")
        try:
            holds = soak.carry_out()
        finally:
            soak.end()
        if holds:
            remove(folder)
        else:
            say(f"NOT FLAT, OR A PROMISE WAS BROKEN; all of it stays in {workspace.shown(folder)}")
    return 0 if holds else 1


def remove(folder):
    postgres_place.remove(folder / "postgres")
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
