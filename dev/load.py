"""One `weir load` beside us: its report, its complaints and its journal in files."""

import json
import subprocess
from pathlib import Path

import workspace
from console import Problem, last_lines
from supervisor import SIGNALS


class Load:
    """`subject` has a folder, a binary and its environment. `key` is the key, or a file of keys."""

    def __init__(self, subject, label, key, *options, journal=False, **environment):
        self.label = label
        self.output = workspace.make_folder(subject.folder / "loads") / f"{label}.json"
        self.journal = self.output.with_suffix(".journal") if journal else None
        options += ("--journal", self.journal) if journal else ()
        options += ("--keys-file", key) if isinstance(key, Path) else ()
        # The key stands in the environment: others may read our arguments.
        own = {"WEIR_KEY": "" if isinstance(key, Path) else key, **environment}
        with open(self.output, "wb") as out, open(self.log(), "wb") as log, SIGNALS.held():
            self.process = subprocess.Popen(
                [str(part) for part in (subject.binary, "load", "--json", *options)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={**subject.environment, **own},
                start_new_session=True,
            )

    def log(self):
        return self.output.with_suffix(".log")

    def is_over(self):
        return self.process.poll() is not None

    def report(self, seconds=600):
        """What it says itself, once it is over. Its exit code says whether anything was accepted: at its cap a tenant
        may be refused throughout."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Problem(f"the load {self.label} does not end within {seconds} s") from None
        text = self.output.read_text()
        if not text:
            raise Problem(f"the load {self.label} ended without a report", last_lines(self.log().read_text()))
        return json.loads(text)

    def end(self):
        if not self.is_over():
            self.process.kill()
            self.process.wait()


def shape_of(batch, connections, rate=None, gzip=False):
    """The options for requests of so many events, over so many connections, at so many events a second."""
    options = ["--batch", batch, "--connections", connections]
    return [*options, *(["--rate", rate] if rate else []), *(["--gzip"] if gzip else [])]
