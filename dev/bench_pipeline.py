"""The rate at which events go all the way, from HTTP to rows and usage, on this one machine: `make bench-pipeline`.

    bench_pipeline.py [--shapes run,cluster] [--batches 1,10,100,1000] [--seconds 22] [--port 7800]

For each shape and batch size a river of its own is started, the rate is raised until events are not stored and metered
within two seconds of their acceptance any more, and the highest rate is held for `--seconds`. The load generator and
all stores share the machine's cores with weir; ClickHouse is its engine behind a shim, unless a server is installed.
Ten minutes after the build.
"""

import argparse
import shutil
import sys

import measuring
import ports
import running
import workspace
from bench import pipeline, pipeline_table
from checks import check_python
from console import Problem, say
from crash.subject import River
from shapes import Shape, parse_port
from stores import kafka, redis

FOLDER = workspace.ROOT / ".run" / "bench-pipeline"
SHAPES = {"run": "standalone", "cluster": "cluster"}
# Of the disk: what a river leaves behind until it is deleted.
FREE_BYTES_MIN = 12 << 30


def main():
    parser = argparse.ArgumentParser(prog="bench_pipeline.py", description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", default=",".join(SHAPES), help="processes and stores")
    parser.add_argument("--batches", default="1,10,100,1000", help="events in a request")
    parser.add_argument("--seconds", type=int, default=22, help="for which the highest rate is held")
    parser.add_argument("--port", default="7800", help="the first of its ports")
    return measuring.main(parser, perform)


def perform(chosen):
    shapes = [name for name in SHAPES if name in chosen.shapes.split(",")]
    port = parse_port(chosen.port)
    check_python()
    if "cluster" in shapes:
        kafka.check_tools()
        redis.check_tools()
    if shutil.disk_usage(workspace.ROOT).free < FREE_BYTES_MIN:
        raise Problem(f"this bench needs {FREE_BYTES_MIN >> 30} GiB free on the disk")
    binary = running.build()
    measuring.headline()
    tables = []
    for name in shapes:
        found = {
            batch: measure(name, batch, port, binary, chosen.seconds) for batch in map(int, chosen.batches.split(","))
        }
        tables.append(pipeline_table.text(SHAPES[name], found))
    say()
    say("\n\n".join(tables))
    return 0


def measure(name, batch, port, binary, seconds):
    shape = Shape.of_its_own(name == "cluster", port)
    say(f"- {SHAPES[name]}, batches of {batch}")
    with measuring.own_folder(FOLDER, "a bench of the pipeline runs here already", "journals"):
        ports.check_free(shape.ports())
        subject = pipeline.Pipeline(River(FOLDER, shape, *measuring.copies(FOLDER, weir=binary)), batch, seconds)
        try:
            subject.start()
            return subject.highest()
        finally:
            subject.end()


if __name__ == "__main__":
    sys.exit(main())
