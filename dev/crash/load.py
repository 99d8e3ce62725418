"""`weir load` for one tenant and one round, and the journal that it leaves."""

import json
import signal
import subprocess

import loading
from console import Problem, last_lines

# How long, once it begins no more batches, a patient load goes on until all it has sent is answered.
GRACE_SECONDS = 150
ENDS_WITHIN_SECONDS = 30


class Load:
    OPTIONS = ("--retry", "--retry-share", "10")

    def __init__(self, river, tenant, key, label, *options):
        self.tenant = tenant
        self.journal = river.folder / "journals" / f"{label}.journal"
        self.output = self.journal.with_suffix(".json")
        self.killed = False
        options = [*self.OPTIONS, *options]
        self.process = loading.start(river, self.output, key, *options, journal=self.journal)

    def ask_to_end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds=ENDS_WITHIN_SECONDS):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Problem(f"the load of {self.tenant} does not end within {seconds} s") from None
        # Its exit code says whether anything was accepted, and at its cap a tenant may be refused throughout.
        if not self.report() and not self.killed:
            log = self.journal.with_suffix(".log").read_text(errors="replace")
            raise Problem(f"the load of {self.tenant} ended without a report", last_lines(log))

    def report(self):
        """What it says itself; nothing if it was killed."""
        text = self.output.read_text()
        return json.loads(text) if text else {}


def of_round(river, chosen, tenant, key, label):
    """The load of a round: at full speed until it is stopped, or for so long and then until all is answered."""
    lasts = chosen.kill_after + chosen.load_after if chosen.load_is_patient else 3600
    options = ["--duration", f"{int(lasts * 1000)}ms", "--grace", f"{GRACE_SECONDS}s"]
    options += ["--batch", chosen.batch, "--connections", chosen.connections]
    options += ["--gzip"] if chosen.gzip else []
    # A journal is checked by ids alone, so those of two tenants must differ.
    seed = chosen.load_seed * 2 + (tenant == "capped")
    return Load(river, tenant, key, label, *options, "--seed", seed)
