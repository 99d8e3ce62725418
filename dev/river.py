"""The river on a developer's machine: weir and the stores that it needs, started, tested, broken, measured and stopped.

`river.py --help` lists the commands, `river.py COMMAND --help` what each takes; what follows `--` is a command to run
(for test) or names (for test-sdks). Exit code 0 after an orderly end, 1 with one line that says what is wrong, else
that of the tests.
"""

import argparse
import os
import sys

# Before the imports, which an older Python does not understand. The store packages need it too.
if sys.version_info < (3, 10):
    sys.exit("weir: Python {}.{} is too old, name 3.10 or newer with PYTHON=...".format(*sys.version_info))

import fuzzing
import running
import stopping
import testing
from bench import growth, ingest, pipeline, processor, soak
from console import Problem, show_problem
from faults import campaign
from sdks import check
from shapes import parse_port
from supervisor import SIGNALS, Interrupted

# By name: what it does, what it takes besides --port, and how it begins.
COMMANDS = {
    "run": (
        "one weir process with Postgres and ClickHouse, until Ctrl-C",
        None,
        lambda it: running.run(False, it.port),
    ),
    "cluster": ("each role a process, with Kafka and Redis as well", None, lambda it: running.run(True, it.port)),
    "stop": ("ends either from another shell", None, lambda _: stopping.stop()),
    "stores": ("only stores, for running single tests", None, lambda _: testing.stay()),
    "test": ("formatting, lints, all tests, or `-- CMD`", None, lambda it: testing.test(it.words)),
    "test-sdks": ("SDKs of other languages; `-- NAME...` chooses some", None, lambda it: check.test(it.words, it.port)),
    "lint": ("formatting and lints", None, lambda _: testing.lint()),
    "faults": ("every fault once under load; --mutant all: what must not hold", campaign.add_arguments, campaign.run),
    "fuzz": ("libFuzzer on one target of fuzz/", fuzzing.add_arguments, fuzzing.fuzz),
    "soak": ("a steady load: does anything grow?", soak.add_arguments, soak.run),
    "bench-ingest": ("CPU per event of `weir ingest`, beside floors", ingest.add_arguments, ingest.run),
    "bench-growth": ("the same at many tenants, keys, connections", growth.add_arguments, growth.run),
    "bench-processor": ("CPU per event of `weir processor`, beside a floor", processor.add_arguments, processor.run),
    "bench-catch-up": ("ten million events wait in the log", processor.add_catch_up_arguments, processor.catch_up),
    "bench-pipeline": ("the rate from HTTP to rows and usage", pipeline.add_arguments, pipeline.run),
    "clean": ("deletes everything that was started, downloaded or built", None, lambda _: stopping.clean()),
}


def main():
    parser = argparse.ArgumentParser(prog="river.py", description="weir and its stores on a developer's machine")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (what, add_arguments, _) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--port", type=parse_port, help="the first of weir's ports; all others move with it")
        if add_arguments:
            add_arguments(command)
    words = sys.argv[1:]
    own = words.index("--") if "--" in words else len(words)
    # Folders must be open to the user that Postgres runs as; files with secrets are closed one by one.
    os.umask(0o022)
    SIGNALS.take()
    try:
        chosen = parser.parse_args(words[:own])
        chosen.words = words[own + 1 :]
        return COMMANDS[chosen.command][2](chosen) or 0
    except Problem as problem:
        show_problem(problem)
    except OSError as error:
        show_problem(Problem(f"{error.filename or 'the system'}: {error.strerror or error}"))
    except Interrupted:
        # The ordinary end of what runs until Ctrl-C, but not of what has a verdict.
        return 0 if chosen.command in ("run", "cluster", "stop", "stores", "clean") else 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
