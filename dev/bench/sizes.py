"""Directories of several sizes: the same Kafka, and for each size a database and a `weir ingest` of its own."""

import dataclasses
import subprocess

import ports
import workspace
from bench.subject import CAP, DATABASE, Subject
from console import Problem, last_lines, step
from stores import postgres_place

FILL = """\
CREATE TEMP TABLE made (number bigint, id bigint, hash bytea);
\\copy made FROM '{rows}'
INSERT INTO tenant (name, plan_id)
    SELECT 'tenant-' || n, (SELECT id FROM plan WHERE name = 'unlimited') FROM generate_series(1, {tenants}) n;
INSERT INTO project (tenant_id, name) SELECT id, 'default' FROM tenant;
WITH place AS (SELECT tenant_id, id, row_number() OVER (ORDER BY tenant_id) - 1 AS number FROM project)
    INSERT INTO api_key (id, tenant_id, project_id, hash)
    SELECT made.id, place.tenant_id, place.id, made.hash FROM made JOIN place ON place.number = made.number % {tenants};
ANALYZE;
"""


@dataclasses.dataclass(frozen=True)
class Size:
    tenants: int
    keys: int

    @classmethod
    def parse(cls, text):
        tenants, _, keys = text.partition("x")
        if not (tenants.isdecimal() and keys.isdecimal() and 0 < int(tenants) <= int(keys)):
            raise Problem(f"{text} is no size: tenants, an x, and as many keys or more, as in 1000x100000")
        return cls(int(tenants), int(keys))

    @property
    def name(self):
        return f"{self.tenants}x{self.keys}"

    @property
    def process(self):
        return f"ingest-{self.name}"


class Sizes(Subject):
    """The stores at once; the nodes when they are needed."""

    def __init__(self, folder, weir, floors):
        super().__init__(folder, weir, floors)
        self.ports = {}

    def start(self, batches):
        self.start_stores()
        self.floor_ports = dict(zip(batches, ports.choose(len(batches)), strict=True))
        with step("starting the floors"):
            self.supervisor.start(*self.servers())

    def add(self, size):
        if size in self.ports:
            return
        with step(f"making {size.tenants:,} tenants with {size.keys:,} keys, and a node that knows them"):
            self.make(size)
            self.ports[size], ops = ports.choose(2)
            settings = {
                "DATABASE_URL": self.url(size),
                "WEIR_DATA_DIR": workspace.make_folder(self.folder / "data" / size.name),
                **self.addresses(self.ports[size], ops),
            }
            self.supervisor.start(self.ingest(ops, size.process, **settings))

    def make(self, size):
        rows = self.folder / f"{size.name}.rows"
        argv = [self.floors, "keys", "--count", size.keys, "--list", self.keys_file(size), "--rows", rows]
        subprocess.run([str(part) for part in argv], stdin=subprocess.DEVNULL, check=True)
        self.database.query(f'CREATE DATABASE "{size.name}" TEMPLATE "{DATABASE}"')
        self.sql(size, FILL.format(rows=rows, tenants=size.tenants))
        rows.unlink()

    def cap(self, size):
        """All its tenants get a cap that they never reach, so that each spends leased quota."""
        self.sql(size, f"UPDATE tenant SET quota = {CAP};")

    def keys_file(self, size):
        return self.folder / f"{size.name}.keys"

    def url(self, size):
        return self.database.url(size.name)

    def sql(self, size, script):
        # Not as the user that Postgres runs as, who may not read our files.
        psql = postgres_place.installation() / "bin" / "psql"
        result = subprocess.run(
            [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", self.url(size)],
            input=script,
            capture_output=True,
            text=True,
        )
        if result.returncode != 0:
            raise Problem(f"Postgres refused the directory {size.name}", last_lines(result.stderr))
