"""The river on a developer's machine: weir and the stores that it needs, started, tested and stopped.

    river.py run            one weir process with Postgres and ClickHouse, until Ctrl-C
    river.py cluster        each role a process, with Kafka and Redis as well, until Ctrl-C
    river.py stop           ends either from another shell
    river.py stores         only stores, for running single tests
    river.py test [-- CMD]  formatting, lints and all tests (or CMD) against such stores
    river.py test-sdks      SDKs of other languages against a running weir; -- NAME... chooses some
    river.py crash          kill -9 of everything under load, again and again, in a folder of its own
    river.py faults         every fault once under load, and what must hold after it; --mutant all: what must not
    river.py fuzz TARGET    libFuzzer on one target of fuzz/, for --seconds
    river.py lint           formatting and lints
    river.py clean          deletes everything that was started, downloaded or built

Exit code 0 after an orderly end, 1 with one line that says what is wrong, else that of the tests.
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
from console import Problem, show_problem
from crash import campaign
from faults import campaign as fault_campaign
from sdks import check
from shapes import parse_port
from supervisor import SIGNALS, Interrupted


def main():
    parser = argparse.ArgumentParser(prog="river.py", description="weir and its stores on a developer's machine")
    commands = ["run", "cluster", "stop", "stores", "test", "test-sdks", "lint", "crash", "faults", "fuzz", "clean"]
    parser.add_argument("command", choices=commands)
    first = "7400, for crash 7600, for faults where there is room"
    parser.add_argument("--port", help=f"the first of weir's ports, {first}; all others move with it")
    campaign.add_arguments(parser.add_argument_group("for crash"))
    fault_campaign.add_arguments(parser.add_argument_group("for faults, which has --shape and --seed, too"))
    fuzzing.add_arguments(parser.add_argument_group("for fuzz"))
    after = "after --: for test the command to run instead of all tests, for test-sdks the names of some SDKs; for fuzz"
    parser.add_argument("argument", nargs="*", help=f"{after} the target")
    chosen = parser.parse_args()
    # Folders must be open to the user that Postgres runs as; files with secrets are closed one by one.
    os.umask(0o022)
    SIGNALS.take()
    try:
        return perform(chosen) or 0
    except Problem as problem:
        show_problem(problem)
    except OSError as error:
        show_problem(Problem(f"{error.filename or 'the system'}: {error.strerror or error}"))
    except Interrupted:
        # The ordinary end of what runs until Ctrl-C, but not of what has a verdict.
        return 130 if chosen.command in ("test", "test-sdks", "lint", "crash", "faults", "fuzz") else 0
    return 1


def perform(chosen):
    commands = {
        "run": lambda: running.run(False, parse_port(chosen.port or "7400")),
        "cluster": lambda: running.run(True, parse_port(chosen.port or "7400")),
        "stop": stopping.stop,
        "stores": testing.stay,
        "test": lambda: testing.test(chosen.argument),
        "test-sdks": lambda: check.test(chosen.argument),
        "lint": testing.lint,
        "faults": lambda: fault_campaign.run(chosen, parse_port(chosen.port) if chosen.port else None),
        "crash": lambda: campaign.run(chosen.shape, chosen.rounds, chosen.seed, parse_port(chosen.port or "7600")),
        "fuzz": lambda: fuzzing.fuzz(chosen.argument, chosen.seconds, chosen.merge),
        "clean": stopping.clean,
    }
    return commands[chosen.command]()


if __name__ == "__main__":
    sys.exit(main())
