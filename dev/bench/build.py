"""The programs that a bench needs: weir, and the floors that it is held against."""

import json
import os
import subprocess
from pathlib import Path

import workspace
from console import Problem, say

BUILD = ["cargo", "build", "--release", "--message-format", "json-render-diagnostics"]
PACKAGES = ["-p", "weir", "-p", "benches", "--bin", "weir", "--bench"]


def both(floors="ingest"):
    """(weir, the floors of that bench), built now; with $WEIR_BIN, that weir."""
    say("- building weir and the floors; the first time takes some minutes")
    result = subprocess.run(
        [*BUILD, *PACKAGES, floors], cwd=workspace.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    if result.returncode != 0:
        raise Problem("weir could not be built; cargo's message stands above")
    messages = [json.loads(line) for line in result.stdout.splitlines()]
    built = {each["target"]["name"]: Path(each["executable"]) for each in messages if each.get("executable")}
    given = os.environ.get("WEIR_BIN")
    return Path(given).absolute() if given else built["weir"], built[floors]
