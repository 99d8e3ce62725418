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
import testing
from bench import ingest, pipeline, processor, soak
from console import Problem, show_problem
from contract import conformance
from faults import campaign
from processes import SIGNALS, Interrupted
from sdks import check
from shapes import parse_port

# By name: what it does, how it begins, and what it takes besides --port.
COMMANDS = {
    "run": ("one weir process with Postgres and ClickHouse, until Ctrl-C", lambda it: running.run(False, it.port)),
    "cluster": ("each role a process, with Kafka and Redis as well", lambda it: running.run(True, it.port)),
    "stop": ("ends either from another shell", lambda _: running.stop()),
    "stores": ("only stores, for running single tests", lambda _: testing.stay()),
    "test": ("formatting, lints, all tests, or `-- CMD`", lambda it: testing.test(it.words)),
    "test-sdks": ("SDKs of other languages; `-- NAME...` chooses some", lambda it: check.test(it.words, it.port)),
    "test-api": ("the admin API against its document", conformance.run, conformance.add_arguments),
    "lint": ("formatting and lints", lambda _: testing.lint()),
    "faults": ("every fault once under load; --mutant: what must not hold", campaign.run, campaign.add_arguments),
    "fuzz": ("libFuzzer on one target of fuzz/", fuzzing.fuzz, fuzzing.add_arguments),
    "soak": ("a steady load: does anything grow?", soak.run, soak.add_arguments),
    "bench-ingest": ("CPU per event of `weir ingest`, next to floors", ingest.run, ingest.add_arguments),
    "bench-processor": ("CPU per event of `weir processor`, next to a floor", processor.run, processor.add_arguments),
    "bench-catch-up": ("ten million events wait", processor.catch_up, processor.add_catch_up_arguments),
    "bench-pipeline": ("the rate from HTTP to rows and usage", pipeline.run, pipeline.add_arguments),
    "clean": ("deletes everything that was started, downloaded or built", lambda _: running.clean()),
}
# Ctrl-C is their ordinary end, but not of what has a verdict.
WITHOUT_VERDICT = ("run", "cluster", "stop", "stores", "clean")


def main():
    parser = argparse.ArgumentParser(prog="river.py", description="weir and its stores on a developer's machine")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (what, _, *add_arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--port", type=parse_port, help="the first of weir's ports; all others move with it")
        for add in add_arguments:
            add(command)
    words = sys.argv[1:]
    own = words.index("--") if "--" in words else len(words)
    # Others may read what is not a secret; files with secrets are closed one by one.
    os.umask(0o022)
    SIGNALS.take()
    try:
        chosen = parser.parse_args(words[:own])
        chosen.words = words[own + 1 :]
        return COMMANDS[chosen.command][1](chosen) or 0
    except Problem as problem:
        show_problem(problem)
    except OSError as error:
        show_problem(Problem(f"{error.filename or 'the system'}: {error.strerror or error}"))
    except Interrupted:
        return 0 if chosen.command in WITHOUT_VERDICT else 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
