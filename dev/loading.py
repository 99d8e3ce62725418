"""`weir load` beside us: started with a key, its report and its log in files."""

import subprocess

from supervisor import SIGNALS


def start(river, output, key, *options, journal=None):
    """The process; its report goes to `output`, what it complains about to a `.log` beside that."""
    argv = [river.binary, "load", "--json", *options, *(["--journal", journal] if journal else [])]
    with open(output, "wb") as out, open(output.with_suffix(".log"), "wb") as log, SIGNALS.held():
        return subprocess.Popen(
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=log,
            # The key stands in the environment: others may read our arguments.
            env={**river.environment, "WEIR_URL": river.env()["WEIR_URL"], "WEIR_KEY": key},
            start_new_session=True,
        )
