"""What it costs to keep and to ask for properties and users in ClickHouse, one way or another: `make bench-schema`.

    bench_schema.py [--rows 1200000] [--only properties|indexes|losses|erasures] [--rounds 3]

On the engine of dev/requirements.txt, in a folder of its own below `.run`, with rows that look like real ones, inserted in
blocks as the processor does. Prints tables in Markdown. CPU is that of the whole process, so a busy machine does not
show in it much.
"""

import argparse
import json
import os
import shutil
import sys
import time

import workspace
from bench import machine, schema_cases
from bench.schema_rows import BLOCK_ROWS, Rows
from checks import check_python
from console import Problem, say, show_problem
from packages import store_python

FOLDER = workspace.ROOT / ".run" / "bench-schema"
EVENTS = workspace.ROOT / "migrations" / "clickhouse" / "20261123000001_create_events.sql"
QUERY_TIMES = 3
INSERT_SETTINGS = {"async_insert": 0, "insert_deduplicate": 0, "max_insert_block_size": 1 << 20}


def main():
    parser = argparse.ArgumentParser(prog="bench_schema.py", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_200_000, help="in each table")
    parser.add_argument("--only", help="properties, indexes, losses or erasures")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the least counts")
    chosen = parser.parse_args()
    check_python()
    python = store_python()
    if os.path.realpath(sys.prefix) != os.path.realpath(python.parent.parent):
        # The engine is a package of another Python, and works in this very process.
        os.execv(python, [python, *sys.argv])
    try:
        with workspace.locked(FOLDER.with_suffix(".lock"), "a bench of schemas runs here already"):
            shutil.rmtree(FOLDER, ignore_errors=True)
            workspace.make_folder(FOLDER)
            measure(chosen)
            shutil.rmtree(FOLDER, ignore_errors=True)
    except Problem as problem:
        show_problem(problem)
        return 1
    return 0


def measure(chosen):
    from chdb.state.sqlitelike import Connection

    bench = Bench(Connection(str(FOLDER / "engine")), chosen)
    say("\n".join(machine.lines()))
    say(f"Command: {' '.join(['dev/bench_schema.py', *sys.argv[1:]])}; ClickHouse {bench.value('SELECT version()')}")
    if chosen.only in (None, "losses"):
        losses(bench)
    if chosen.only == "losses":
        return
    bench.write_blocks()
    for name, cases, queries in [
        ("properties", schema_cases.PROPERTIES, schema_cases.PROPERTY_QUERIES),
        ("indexes", schema_cases.INDEXES, schema_cases.INDEX_QUERIES),
    ]:
        if chosen.only in (None, name):
            table(name, list(bench.cases(cases, queries)), queries, bench.rows)
    if chosen.only in (None, "erasures"):
        erasures(bench)


class Bench:
    def __init__(self, connection, chosen):
        self.connection, self.rows, self.rounds = connection, chosen.rows, chosen.rounds
        self.blocks, self.columns = [], []
        self.id = self.path = ""
        # It remembers which blocks a condition has met: the second time would measure that alone.
        self.run("SET use_query_condition_cache = 0")

    def run(self, text, form="Null"):
        try:
            return self.connection.query(text, form)
        except RuntimeError as error:
            raise Problem(f"the engine refuses\n  {text[:300]}\n  {str(error)[:600]}") from None

    def value(self, text):
        return self.run(text, "TabSeparatedRaw").bytes().decode().strip()

    def write_blocks(self):
        """The rows, once, as the processor sends them: a file for each insert."""
        self.run(EVENTS.read_text().replace("IF NOT EXISTS events", "source"))
        part, found = [], 0
        for row in Rows(self.rows):
            self.columns = self.columns or list(row)
            if row["tenant_id"] == 1 and found < self.rows // 3:
                self.id, self.path = row["event_id"], json.loads(row["properties"])["path"]
            part.append(json.dumps(row))
            found += 1
            if len(part) == BLOCK_ROWS or found == self.rows:
                self.run("INSERT INTO source FORMAT JSONEachRow\n" + "\n".join(part))
                file = FOLDER / f"block-{len(self.blocks)}"
                file.write_bytes(self.run(f"SELECT {','.join(self.columns)} FROM source ORDER BY received_at", "RowBinary").bytes())
                self.run("TRUNCATE TABLE source")
                self.blocks.append(file)
                part = []
        size = sum(file.stat().st_size for file in self.blocks)
        say(f"{self.rows:,} rows of {size // self.rows} bytes as inserted, {len(self.blocks)} inserts of {BLOCK_ROWS:,}")

    def cases(self, cases, queries):
        """CPU of inserting and of merging all to one part, bytes, and CPU of each query: the least of each. The cases take
        turns, so that a busy minute does not fall on one of them alone."""
        found = [{} for _ in cases]
        for turn in range(self.rounds):
            for case, least in zip(cases, found, strict=True):
                once = self.filled(case, "measured")
                once |= {name: self.query(case, text, "measured") for name, text in queries.items()}
                least |= {name: min(value, least.get(name, value)) for name, value in once.items()}
                say(f"  round {turn + 1}, {case.name}: {once['insert'] / self.rows * 1e6:.2f} us an insert")
        return zip(cases, found, strict=True)

    def filled(self, case, table):
        self.run(f"DROP TABLE IF EXISTS {table} SYNC")
        self.run(EVENTS.read_text().replace("IF NOT EXISTS events", table))
        for change in case.alter:
            self.run(f"ALTER TABLE {table} {change}")
        self.run(f"SYSTEM STOP MERGES {table}")
        settings = ", ".join(f"{name} = {value}" for name, value in (INSERT_SETTINGS | case.settings).items())
        insert = f"INSERT INTO {table} ({','.join(self.columns)}) SETTINGS {settings}"
        found = {"insert": 0.0}
        for file in self.blocks:
            content = file.read_bytes()
            begun = time.process_time()
            writer = self.connection.send_insert(insert, "RowBinary")
            writer.append(content)
            writer.finish()
            found["insert"] += time.process_time() - begun
        self.run(f"SYSTEM START MERGES {table}")
        begun = time.process_time()
        self.run(f"OPTIMIZE TABLE {table} FINAL")
        found["merge"] = time.process_time() - begun
        active = f"FROM system.parts WHERE table = '{table}' AND active"
        if int(self.value(f"SELECT sum(rows) {active}")) != self.rows:
            raise Problem(f"{case.name}: rows are missing")
        found["bytes"] = int(self.value(f"SELECT sum(bytes_on_disk) {active}"))
        return found

    def query(self, case, text, table):
        names = {name: case.text.format(name) for name in ("plan", "path")} | {"amount": case.number.format("amount")}
        places = {"t": table, "tenant": schema_cases.TENANT, "week": schema_cases.WEEK, "day": schema_cases.DAY}
        text = text.format(**names, **places, id=self.id, value=self.path)
        took = []
        for _ in range(QUERY_TIMES):
            begun = time.process_time()
            self.run(text, "RowBinary")
            took.append(time.process_time() - begun)
        return min(took)


def erasures(bench):
    """What it costs to take one user's rows out of a table in one part, and whether they are gone then."""
    chosen = next(case for case in schema_cases.INDEXES if case.name == schema_cases.CHOSEN)
    say("\nOne user's rows, CPU and time of the statement; rows in active parts before and after\n")
    say("| how | CPU, s | time, s | rows before | rows after |\n| -- | --: | --: | --: | --: |")
    for how, statement in schema_cases.ERASURES.items():
        bench.filled(chosen, "measured")
        bench.run("CREATE OR REPLACE TABLE named (p UInt32, q UInt64) ENGINE = MergeTree ORDER BY (p, q)")
        user = f"{schema_cases.TENANT} AND user_id = 'user-20'"
        bench.run(f"INSERT INTO named SELECT log_partition, position FROM measured WHERE {user}")
        there = "SELECT sum(rows) FROM system.parts WHERE table = 'measured' AND active"
        before, begun, wall = bench.value(there), time.process_time(), time.monotonic()
        bench.run(statement.format(user=user))
        took, waited = time.process_time() - begun, time.monotonic() - wall
        say(f"| {how} | {took:.2f} | {waited:.2f} | {int(before):,} | {int(bench.value(there)):,} |")


def table(name, found, queries, rows):
    say("\nCPU in us an event; bytes on disk an event; CPU of queries in ms, the least of several\n")
    heads = [name, "insert", "more", "merge", "bytes", *queries]
    say("| " + " | ".join(heads) + " |\n| --" + " | --:" * (len(heads) - 1) + " |")
    first = found[0][1]["insert"]
    for case, of in found:
        cells = [case.name, *(f"{of[kind] / rows * 1e6:.2f}" for kind in ("insert", "merge"))]
        cells.insert(2, f"{(of['insert'] - first) / rows * 1e6:+.2f}")
        cells.append(f"{of['bytes'] / rows:.0f}")
        cells += [f"{of[query] * 1000:.0f}" for query in queries]
        say("| " + " | ".join(cells) + " |")


def losses(bench):
    """What comes back of documents that are hard to keep, from JSON and from a Map."""
    say("\n| document | as JSON | as Map |\n| -- | -- | -- |")
    for what, document in schema_cases.HARD.items():
        quoted = "'" + document.replace("\\", "\\\\").replace("'", "\\'") + "'"
        cells = []
        for expression in ("CAST(d AS JSON)", schema_cases.PAIRS.replace("properties", "d")):
            try:
                cells.append(bench.value(f"SELECT toString({expression}) FROM (SELECT materialize({quoted}) AS d)"))
            except Problem as problem:
                cells.append("refused: " + str(problem).split("DB::Exception: ")[-1].split("(")[0][:60])
        say(f"| {what}: `{document}` | " + " | ".join(f"`{cell}`" for cell in cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
