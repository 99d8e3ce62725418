"""A soak from beginning to end: up, how much it takes, load, drained, audited, judged."""

import dataclasses
import json
import time

from console import Problem, say, step
from crash import audit
from soaking import judge, load, sample
from supervisor import SIGNALS

SAMPLE_SECONDS = 10
# How the sustained rate is looked for, in events a second.
FIRST_RATE = 5_000
RATE_MAX = 1_000_000
STAGE_SECONDS = 8
# A stage is sustained if it leaves less than this behind, and nearly all of it was accepted.
BACKLOG_SECONDS = 1.5
ACCEPTED_SHARE = 0.95
DRAIN_SECONDS = 120
# Before the first sample: what is allocated once has been by then.
WARM_UP_SECONDS = 10
CAP = 1_000_000_000_000


class Soak:
    def __init__(self, river, chosen, samples_file):
        self.river, self.chosen, self.samples_file = river, chosen, samples_file
        self.loads = None
        self.samples = []
        self.sustained = self.rate = 0

    def carry_out(self):
        with step("starting the river"):
            self.river.start()
            self.river.wait_until_up()
        self.loads = load.Loads(self.river, self.make_tenants(), self.make_bad_keys())
        self.sustained = self.chosen.rate or self.find_rate()
        self.rate = self.sustained * self.chosen.load // 100
        say(f"- it sustains {self.sustained:,} events/s; {self.chosen.load} % of that: {self.rate:,}")
        self.soak()
        verdict = judge.Verdict(self.samples, self.rate)
        self.prove(verdict)
        say()
        say(verdict.text())
        return not verdict.broken

    def make_tenants(self):
        keys = {}
        for name, limit in (("uncapped", []), ("capped", ["--quota", str(CAP)])):
            self.river.weir_now("tenant", "create", name, "--plan", "unlimited", *limit)
            keys[name] = self.river.weir_now("key", "create", name)["key"]
        return keys

    def make_bad_keys(self):
        """One that is no key, and one that was revoked."""
        revoked = self.river.weir_now("key", "create", "uncapped")
        self.river.weir("key", "revoke", revoked["id"])
        return {"malformed": "wk_live_nonsense", "revoked": revoked["key"]}

    def find_rate(self):
        """The highest of rising rates at which the processors keep up; within some 15 % after two steps back."""
        low, high, rate = 0, None, FIRST_RATE
        while rate < RATE_MAX and (high is None or high > low * 1.2):
            kept_up, text = self.stage(rate)
            say(f"- {rate:,} events/s: {text}")
            low, high = (rate, high) if kept_up else (low, rate)
            if high is not None and high < FIRST_RATE // 8:
                raise Problem(f"the river does not even sustain {high:,} events/s")
            rate = low * 8 // 5 if high is None else (low + high) // 2
        return low

    def stage(self, rate):
        before = self.take()
        self.loads.start_lasting(rate, STAGE_SECONDS, journal=False)
        self.loads.start_passing(rate)
        self.wait_until(time.monotonic() + STAGE_SECONDS)
        after = self.take()
        self.loads.wait()
        self.drain()
        accepted = (after.accepted - before.accepted) / (after.at - before.at)
        behind = after.backlog / rate
        kept_up = behind < BACKLOG_SECONDS and accepted > rate * self.offered_share() * ACCEPTED_SHARE
        text = f"accepted {accepted:,.0f}/s, {behind:.1f} s behind: {'kept up' if kept_up else 'did not keep up'}"
        return kept_up, text

    @staticmethod
    def offered_share():
        """Of the rate, in a stage: the passing lanes send for a part of it only."""
        passing = sum(lane.percent for lane in load.PASSING) / 100
        return 1 - passing + passing * load.PASSING_SECONDS / STAGE_SECONDS

    def soak(self):
        seconds = int(self.chosen.minutes * 60)
        # A little longer than is looked at, so that the last look still meets all of it.
        lasts = WARM_UP_SECONDS + seconds + SAMPLE_SECONDS // 2
        self.loads.start_lasting(self.rate, lasts, journal=True)
        self.loads.start_bad(lasts)
        begin = time.monotonic() + WARM_UP_SECONDS
        self.wait_until(begin, passing=True)
        say(judge.headings(self.river))
        before = self.take()
        with open(self.samples_file, "w") as file:
            for number in range(1, seconds // SAMPLE_SECONDS + 1):
                self.wait_until(begin + number * SAMPLE_SECONDS, passing=True)
                found = self.take()
                self.samples.append(found)
                file.write(json.dumps(dataclasses.asdict(found)) + "\n")
                file.flush()
                say(judge.line(found, before, begin))
                before = found
        self.loads.wait()
        self.drain()

    def wait_until(self, then, passing=False):
        while time.monotonic() < then:
            self.loads.collect()
            if passing:
                self.loads.start_passing(self.rate)
            time.sleep(0.1)

    def take(self):
        return sample.take(self.river, self.loads.p99_ms)

    def drain(self):
        deadline = time.monotonic() + DRAIN_SECONDS
        while (found := self.take()).backlog:
            if time.monotonic() > deadline:
                raise Problem(f"{found.backlog} events are not processed {DRAIN_SECONDS} s after the load")
            time.sleep(0.2)

    def prove(self, verdict):
        """Everything stored once, nothing else stored; what clients were told adds up with the books."""
        found = audit.Audit()
        accepted, unknown = self.loads.totals()
        with step("checking journals, books and rows"):
            look = audit.Look(self.river, found)
            for journal in self.loads.journals:
                check = look.check(journal)
                found.expect(check is not None, f"{journal.name}: {look.behind}")
                broken = audit.violations(check) if check else {}
                found.expect(not broken, f"{journal.name}: {broken}")
                found.acknowledged += check["acknowledged"] if check else 0
            audit.prove(self.river, found, time.monotonic())
            look.compare_rows()
        audit.Logs(self.river.folder / "log").look(found)
        in_log = found.verify.get("accepted", -1)
        found.expect(
            accepted <= in_log <= accepted + unknown,
            f"clients were told of {accepted} accepted events and left unsure of {unknown}; the log has {in_log}",
        )
        bad = self.loads.of("bad-")
        refused = sum(sum(report["events_refused"].values()) for report in bad)
        found.expect(
            refused and refused == sum(report["events_sent"] for report in bad),
            f"bad keys were not always refused: {[report['events_refused'] for report in bad]}",
        )
        verdict.broken += found.broken
        verdict.proof = (
            f"accepted {accepted:,} (unknown {unknown}), in the log {in_log:,}, stored {found.verify.get('stored', 0):,},"
            f" duplicate {found.verify.get('duplicate', 0):,}; {found.acknowledged:,} events followed one by one; "
            f"{refused:,} events with bad keys refused"
        )
        verdict.p99_ms = {lane.name: self.loads.p99_ms[lane.name] for lane in load.LASTING}

    def end(self):
        SIGNALS.ignore()
        if self.loads:
            self.loads.end()
        if not self.river.stop():
            say("! the river did not stop in time and was killed")

