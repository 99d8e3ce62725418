"""The river under a steady load for a while: does anything grow? `make soak`.

    soak.py [--shape cluster|run] [--minutes 30] [--load 60] [--rate N] [--port 7700]

Starts a river in a folder and on ports of its own, finds the rate that it sustains from end to end, sends `--load`
percent of that for so many minutes, and looks at every process each 10 s. At the end everything must be stored once,
and memory, descriptors and what is not processed yet must not have grown. Exit code 1 if one of these is not so; the
folder then stays. Samples stay in .run/soak-<shape>.jsonl in any case.
"""

import argparse
import sys

import measuring
import ports
import running
import workspace
from checks import check_python
from console import Problem, say
from crash.subject import River
from shapes import Shape, parse_port
from soaking.soak import Soak
from stores import kafka, redis


def main():
    parser = argparse.ArgumentParser(prog="soak.py", description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=["cluster", "run"], default="cluster", help="processes and stores")
    parser.add_argument("--minutes", type=float, default=30, help="of load")
    parser.add_argument("--load", type=int, default=60, help="percent of the rate that the river sustains")
    parser.add_argument("--rate", type=int, help="events a second that it sustains; found by trying, without it")
    parser.add_argument("--port", default="7700", help="the first of its ports")
    return measuring.main(parser, perform)


def perform(chosen):
    shape = Shape.of_its_own(chosen.shape == "cluster", parse_port(chosen.port))
    check_python()
    if chosen.minutes < 1:
        raise Problem("--minutes must be at least 1: thirds of less hold too few samples")
    if shape.is_cluster:
        kafka.check_tools()
        redis.check_tools()
    folder = workspace.ROOT / ".run" / "soak" / chosen.shape
    binary = running.build()
    problem = f"a soak of this shape runs in {workspace.shown(folder)} already"
    with measuring.own_folder(folder, problem, "journals", is_kept=True):
        ports.check_free(shape.ports())
        river = River(folder, shape, *measuring.copies(folder, weir=binary))
        measuring.headline()
        soak = Soak(river, chosen, workspace.ROOT / ".run" / f"soak-{chosen.shape}.jsonl")
        try:
            holds = soak.carry_out()
        finally:
            soak.end()
        if holds:
            measuring.remove(folder)
        else:
            say(f"NOT FLAT, OR A PROMISE WAS BROKEN; all of it stays in {workspace.shown(folder)}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
