"""The program weir: built, and asked."""

import json
import os
import subprocess
from pathlib import Path

import tools
import workspace
from console import Problem, last_lines, output_of, run_visibly, say

COMMAND_SECONDS = 120


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
    # Cargo calls the profile of the folder target/debug dev.
    named = ["--profile", "dev" if profile == "debug" else profile]
    # C is a quarter of a first build: at level 0 it takes three fifths of the time that it takes at level 1.
    flags = {"CFLAGS": "-O0", **os.environ} if profile == "start" else None
    if run_visibly(["cargo", "build", "-p", "weir", *named, *options], cwd=workspace.ROOT, env=flags) != 0:
        raise Problem("weir could not be built; cargo's message stands above")
    return workspace.ROOT / (os.environ.get("CARGO_TARGET_DIR") or "target") / profile / "weir"


def run(binary, environment, *arguments):
    database = workspace.redact(environment["DATABASE_URL"])
    output_of([binary, *arguments], f"`weir {' '.join(arguments)}` failed (database {database})", env=environment)


def ask(binary, environment, *arguments, seconds=COMMAND_SECONDS):
    """What a command of weir prints as JSON, whatever its exit code; None if it could not say, and why."""
    what, argv = f"weir {arguments[0]}", [str(each) for each in (binary, *arguments, "--json")]
    try:
        result = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=seconds
        )
        return json.loads(result.stdout), ""
    except ValueError:
        return None, f"{what}: exit code {result.returncode}: {last_lines(result.stderr or result.stdout, 3)}"
    except subprocess.TimeoutExpired:
        return None, f"{what}: no answer within {seconds} s"


def ask_now(*arguments):
    answer, why = ask(*arguments)
    if answer is None:
        raise Problem(why)
    return answer
