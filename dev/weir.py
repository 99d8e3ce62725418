"""The program weir: built, and asked."""

import json
import os
from pathlib import Path

import tools
import workspace
from console import Problem, last_lines, output_of, run_visibly, say


def check_tools(is_cluster):
    """Those that weir is built with, and that its stores need."""
    tools.check_python()
    given = os.environ.get("WEIR_BIN")
    if not given:
        tools.check_cargo()
    elif not os.access(given, os.X_OK):
        raise Problem(f"WEIR_BIN={given} is not a program")
    if is_cluster:
        tools.check_kafka()
        tools.check_redis()


def given_or_built(profile="release"):
    """The weir to run: $WEIR_BIN, or built now."""
    given = os.environ.get("WEIR_BIN")
    return Path(given).absolute() if given else built(profile)


def built(profile, *options):
    """The weir that cargo builds."""
    say("- building weir; the first time takes some minutes")
    options = [*options, *(["--release"] if profile == "release" else [])]
    if run_visibly(["cargo", "build", "-p", "weir", *options], cwd=workspace.ROOT) != 0:
        raise Problem("weir could not be built; cargo's message stands above")
    return workspace.ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target") / profile / "weir"


def ask(binary, environment, *arguments):
    """What a command of weir prints as JSON, if it succeeds."""
    text = run(binary, environment, *arguments, "--json")
    try:
        return json.loads(text)
    except ValueError:
        raise Problem(f"weir {arguments[0]} did not answer in JSON", last_lines(text)) from None


def run(binary, environment, *arguments):
    database = workspace.redact(environment["DATABASE_URL"])
    failure = f"`weir {' '.join(map(str, arguments))}` failed (database {database})"
    return output_of([binary, *arguments], failure, env=environment)
