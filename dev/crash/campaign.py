"""`crash`: the river under load, killed with SIGKILL and started again, round after round, and held to its promises.

Each campaign has a folder, ports and stores of its own, so a `make run` beside it is not touched. It ends with exit
code 1 at the first broken promise; its folder then stays, and the seed repeats its rounds.
"""

import json
import secrets
import shutil
import time

import ports
import running
import workspace
from checks import check_python
from console import Problem, say
from crash import audit, load, plan, resources
from crash.subject import River
from process import start_time
from shapes import Shape
from stores import kafka, postgres_place, redis
from supervisor import SIGNALS

# What dead nodes have leased comes back after their lease time and the longest append, some 25 s.
CAP_SECONDS = 120
HEADINGS = "round", "killed", "batch", "acknowledged", "unknown", "stored", "duplicates", "up s", "lag s", "verdict"
COLUMNS = "{:>5}  {:<40} {:>6} {:>12} {:>8} {:>9} {:>10} {:>6} {:>6}  {}"


def add_arguments(group):
    group.add_argument("--shape", choices=["run", "cluster", "disk"], help="what to kill: run, if it is not said")
    group.add_argument("--rounds", type=int, default=20)
    group.add_argument("--seed", type=int, help="of the rounds' times and victims; random, and told, without it")


def run(shape_name, rounds, seed, port):
    shape_name = shape_name or "run"
    if shape_name == "disk":
        raise Problem("SHAPE=disk is for `make faults`")
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    shape = Shape(shape_name == "cluster", port)
    shape.starts_postgres = shape.starts_clickhouse = True
    shape.starts_kafka = shape.starts_redis = shape.is_cluster
    check_python()
    if shape.is_cluster:
        kafka.check_tools()
        redis.check_tools()
    folder = workspace.ROOT / ".run" / "crash" / f"{shape_name}-{seed}"
    if (folder / "pid").exists():
        raise Problem(f"{workspace.shown(folder)} is there already: delete it, or choose another --seed")
    ports.check_free(shape.ports())
    binary = running.build()
    workspace.make_folder(folder / "log")
    workspace.make_folder(folder / "journals")
    # A copy, so that a build in between does not change what is being killed.
    binary = shutil.copy2(binary, folder / "weir")
    say(f"seed {seed}, {rounds} rounds, folder {workspace.shown(folder)}")
    campaign = Campaign(River(folder, shape, binary), seed, rounds)
    try:
        campaign.carry_out()
    except BaseException as problem:
        campaign.end()
        if isinstance(problem, Problem) or campaign.is_broken:
            say_it_stays(folder, shape, seed)
        else:
            remove(folder)
        raise
    campaign.end()
    if campaign.is_broken:
        say("PROMISES WERE BROKEN")
        say_it_stays(folder, shape, seed)
        return 1
    remove(folder)
    say(f"every promise was kept, seed {seed}")
    return 0


def say_it_stays(folder, shape, seed):
    command = "cluster" if shape.is_cluster else "run"
    say(f"seed {seed}; to look around: WEIR_RUN_DIR={workspace.shown(folder)} make {command} PORT={shape.base}")


def remove(folder):
    postgres_place.remove(folder / "postgres")
    shutil.rmtree(folder, ignore_errors=True)


class Campaign:
    def __init__(self, river, seed, rounds):
        self.river = river
        self.rounds = list(plan.rounds(seed, rounds, river.weir_names, river.store_names))
        self.loads = []
        self.journals = []
        self.keys = {}
        self.cap = 0
        self.duplicates = 0
        self.lines = []
        self.logs = audit.Logs(river.folder / "log")
        self.is_broken = False

    def carry_out(self):
        begun = time.monotonic()
        self.river.start()
        self.river.wait_until_up()
        say(f"- the river is up, {time.monotonic() - begun:.1f} s")
        self.make_tenants()
        for chosen in self.rounds:
            self.round(chosen)
            if self.is_broken:
                break
        else:
            self.reach_the_cap()
        self.print_table()

    def make_tenants(self):
        for name, limit in (("uncapped", ("--plan", "unlimited")), ("capped", ("--quota", "0"))):
            self.river.weir_now("tenant", "create", name, *limit)
            self.keys[name] = self.river.weir_now("key", "create", name)["key"]

    def round(self, chosen):
        found = audit.Audit()
        self.cap += chosen.cap_step
        self.river.weir_now("tenant", "set", "capped", "--quota", str(self.cap))
        self.loads = [
            load.of_round(self.river, chosen, tenant, key, f"{chosen.number:02}-{tenant}")
            for tenant, key in self.keys.items()
        ]
        say(f"- round {chosen.number}: batches of {chosen.batch}, cap {self.cap}; kill -9 of {chosen.what}")
        time.sleep(chosen.kill_after)
        up_seconds = self.kill_and_bring_up(chosen)
        self.end_loads(chosen)
        new = [each.journal for each in self.loads]
        audit.after_round(self.river, found, new, self.journals, "capped")
        self.journals += new
        warnings = self.logs.look(found)
        found.resources = resources.of(self.river)
        self.note(chosen, found, up_seconds, warnings)

    def kill_and_bring_up(self, chosen):
        loads = [each.process.pid for each in self.loads] if chosen.kills_load else []
        for each in self.loads:
            each.killed = chosen.kills_load
        begun = time.monotonic()
        if chosen.what != plan.EVERYTHING:
            killed = self.river.kill(chosen.victims, *loads)
        else:
            killed = self.river.kill(["supervisor", *chosen.victims], *loads)
            self.river.start()
            if chosen.kill_again_after:
                time.sleep(chosen.kill_again_after)
                killed |= self.river.kill(["supervisor", *chosen.victims])
                self.river.start()
        self.river.wait_until_up(killed)
        return time.monotonic() - begun

    def end_loads(self, chosen):
        if not chosen.load_is_patient and not chosen.kills_load:
            time.sleep(chosen.load_after)
            for each in self.loads:
                each.ask_to_end()
        for each in self.loads:
            each.wait(load.GRACE_SECONDS + load.ENDS_WITHIN_SECONDS)

    def note(self, chosen, found, up_seconds, warnings):
        """Says how a round went, and keeps all of it in the folder."""
        self.is_broken = bool(found.broken)
        duplicates = found.verify.get("duplicate", self.duplicates)
        what = chosen.what + (" twice" if chosen.kill_again_after else "") + (" + load" if chosen.kills_load else "")
        line = COLUMNS.format(
            chosen.number,
            what,
            f"{chosen.batch}{'z' if chosen.gzip else ''}",
            found.acknowledged,
            found.unknown,
            found.stored,
            duplicates - self.duplicates,
            f"{up_seconds:.1f}",
            f"{found.lag_seconds:.1f}",
            "BROKEN" if self.is_broken else "kept",
        )
        self.duplicates = duplicates
        self.lines.append(line)
        say(line)
        say(f"        capped tenant: {found.tenants.get('capped')}")
        say(f"        {resources.text(found.resources)}")
        if warnings:
            say("        logged: " + "; ".join(f"{count} x {name}" for name, count in sorted(warnings.items())))
        for text in found.odd:
            say(f"        odd: {text}")
        for text in found.broken:
            say(f"        BROKEN: {text}")
        with open(self.river.folder / "rounds.jsonl", "a") as file:
            entry = {"round": chosen.__dict__, "audit": found.__dict__, "warnings": warnings, "up_seconds": up_seconds}
            file.write(json.dumps(entry) + "\n")

    def reach_the_cap(self):
        """Single events until 402: what dead nodes held has come back, so the cap is met to the event."""
        begun, stored, attempt = time.monotonic(), -1, 0
        while (stored := self.stored_of_capped()) < self.cap and time.monotonic() - begun < CAP_SECONDS:
            attempt += 1
            self.send_singles(f"cap-{attempt:02}-capped", self.cap - stored)
            time.sleep(1)
        report = self.send_singles("cap-last-capped", 20)
        found = audit.Audit()
        audit.after_round(self.river, found, self.journals[-1:], self.journals[:-1], "capped")
        self.logs.look(found)
        refused = sum(count for reason, count in report["events_refused"].items() if reason.startswith("402"))
        stored = self.stored_of_capped()
        found.expect(stored == self.cap, f"the capped tenant has {stored} events of its cap of {self.cap}")
        found.expect(refused == report["events_sent"], f"at its cap: {report['events_refused']}")
        self.is_broken = bool(found.broken)
        took = time.monotonic() - begun
        say(f"- the capped tenant has reached {stored} of {self.cap} after {took:.0f} s, then {refused} x 402")
        say(f"        {resources.text(resources.of(self.river))}")
        for text in found.broken:
            say(f"        BROKEN: {text}")

    def send_singles(self, label, count):
        options = ["--batch", "1", "--connections", "4", "--events", str(count), "--grace", "20s"]
        sent = load.Load(self.river, "capped", self.keys["capped"], label, *options)
        self.loads = [sent]
        sent.wait(300)
        self.journals.append(sent.journal)
        return sent.report()

    def stored_of_capped(self):
        return self.river.weir_now("usage", "capped")["stored"]

    def print_table(self):
        say()
        say(COLUMNS.format(*HEADINGS))
        for line in self.lines:
            say(line)

    def end(self):
        SIGNALS.ignore()
        for each in self.loads:
            if each.process.poll() is None:
                each.process.kill()
                each.process.wait()
        if not self.river.stop():
            say("! the river did not stop in time and was killed")
