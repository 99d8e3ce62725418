"""Statements on ClickHouse's engine (chDB) in this process, one at a time, in the order in which they became ready.

* Each statement gets a connection of its own: its database, settings and parameters end with it.
* An INSERT's data is handed over only when it is here in full; the engine then writes it as a server would, in one
  block per million rows, in real MergeTree tables below the folder given.
* A statement whose client has gone before its turn is not run. One that has begun runs to its end, and whatever the
  client sends afterwards runs after it: a read-back never overtakes the INSERT that it asks about.
"""

import concurrent.futures
import contextlib
import dataclasses
import re
import time

from chdb.state.sqlitelike import Connection

# The data of an INSERT in the parts in which the engine takes it.
PART_BYTES = 1 << 20
FAILED_INSERTS = "SELECT sum(value) FROM system.events WHERE event = 'FailedInsertQuery'"
LAST_ERROR = (
    "SELECT format('Code: {}. DB::Exception: {} ({})', toString(code), last_error_message, name)"
    " FROM system.errors ORDER BY last_error_time DESC LIMIT 1"
)
CANCELLED = "Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)"

INSERT_WITH_DATA = re.compile(rb"\s*(INSERT\s+INTO\s.*\S)\s+FORMAT\s+(\w+)\s*;?\s*", re.IGNORECASE | re.DOTALL)
OWN_FORMAT = re.compile(rb"\sFORMAT\s+(\w+)\s*(?:SETTINGS\s[^;]*)?;?\s*$", re.IGNORECASE)
KILL = re.compile(
    rb"\s*KILL\s+QUERY\s+WHERE\s+(?:query_id\s*=\s*'([^']*)'|match\(query_id,\s*'([^']*)'\))",
    re.IGNORECASE,
)
# Quoted text and comments, in which a semicolon separates nothing.
NOT_CODE = re.compile(rb"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`|--[^\n]*|/\*.*?\*/""", re.DOTALL)
TWO_STATEMENTS = re.compile(rb";\s*\S")
ERROR = re.compile(r"Code: (\d+)\. ")


class EngineError(Exception):
    """What ClickHouse answers when it refuses: its code and its text."""

    def __init__(self, text):
        found = ERROR.search(text)
        # chDB puts words of its own before ClickHouse's text.
        super().__init__(text[found.start() :] if found else text)
        self.code = int(found.group(1)) if found else 0


class ClientGone(Exception):
    pass


@dataclasses.dataclass
class Statement:
    text: bytes
    # A file with the INSERT's data, or None where the text holds everything.
    body: object
    default_format: str
    query_id: str
    database: str
    settings: dict
    parameters: dict
    client_is_gone: object
    killed: bool = False


@dataclasses.dataclass
class Answer:
    content: object
    format: str
    summary: dict


class Engine:
    def __init__(self, folder):
        # chDB takes a path with options behind a question mark.
        if "?" in str(folder):
            raise SystemExit(f"ClickHouse's engine cannot work in a folder with a question mark in its path: {folder}")
        self.folder = str(folder)
        # The engine shuts down with its last connection, so one stays open.
        self.keeper = Connection(self.folder)
        # One thread: statements run in the order in which they are handed to it.
        self.queue = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        # By query id, what has arrived and has not begun.
        self.waiting = {}

    def close(self):
        self.queue.shutdown()
        self.keeper.close()

    @contextlib.contextmanager
    def announced(self, statement):
        """From here on KILL QUERY finds the statement."""
        self.waiting[statement.query_id] = statement
        try:
            yield
        finally:
            if self.waiting.get(statement.query_id) is statement:
                del self.waiting[statement.query_id]

    def victims(self, statement):
        """What a KILL QUERY names of that which has not begun."""
        found = KILL.match(statement.text)
        if not found:
            return []
        whole, pattern = (text and text.decode(errors="replace") for text in found.groups())
        waiting = [w for w in list(self.waiting.values()) if w.database == statement.database]
        return [w for w in waiting if w.query_id == whole or (pattern and re.search(pattern, w.query_id))]

    def run(self, statement):
        for victim in self.victims(statement):
            victim.killed = True
        return self.queue.submit(self.run_in_turn, statement).result()

    def run_in_turn(self, statement):
        if statement.killed:
            raise EngineError(CANCELLED)
        if statement.client_is_gone():
            raise ClientGone
        self.waiting.pop(statement.query_id, None)
        connection = Connection(self.folder)
        try:
            return self.run_now(connection, statement)
        except RuntimeError as error:
            raise EngineError(str(error)) from None
        finally:
            connection.close()

    def run_now(self, connection, statement):
        started = time.monotonic()
        if statement.database:
            connection.query(f"USE {quoted(statement.database, '`')}", "Null")
        if statement.settings:
            pairs = ", ".join(f"{name} = {quoted(value)}" for name, value in statement.settings.items())
            connection.query(f"SET {pairs}", "Null")
        insert = INSERT_WITH_DATA.fullmatch(statement.text) if statement.body is not None else None
        if insert:
            summary = self.insert(connection, insert.group(1), insert.group(2), statement.body)
            content, used_format = b"", statement.default_format
        else:
            refuse_several(statement.text)
            text = statement.text if statement.body is None else statement.text + b"\n" + statement.body.read()
            result = connection.query(text, statement.default_format, params=statement.parameters or None)
            own_format = OWN_FORMAT.search(text)
            used_format = own_format.group(1).decode() if own_format else statement.default_format
            content = result.bytes()
            summary = {"read_rows": result.rows_read(), "read_bytes": result.bytes_read()}
        summary["elapsed_ns"] = int((time.monotonic() - started) * 1e9)
        return Answer(content, used_format, summary)

    def insert(self, connection, head, data_format, body):
        failed = self.ask(FAILED_INSERTS)
        writer = connection.send_insert(head.decode(), data_format.decode())
        try:
            while part := body.read(PART_BYTES):
                writer.append(part)
            written = writer.finish()
        except BaseException:
            with contextlib.suppress(RuntimeError):
                writer.cancel()
            raise
        if self.ask(FAILED_INSERTS) != failed:
            # chDB says nothing of what fails when the rows are written, as where the disk is full.
            raise EngineError(self.ask(LAST_ERROR))
        return {"written_rows": written.rows_written, "written_bytes": written.bytes_written}

    def ask(self, query):
        """One value. Nobody else runs a statement meanwhile."""
        return self.keeper.query(query, "TSVRaw").bytes().decode(errors="replace").strip()


def refuse_several(text):
    """The engine would run them one after the other, the server refuses them. An INSERT's data may hold semicolons."""
    if text.lstrip()[:6].upper() != b"INSERT" and TWO_STATEMENTS.search(NOT_CODE.sub(b"", text)):
        raise EngineError("Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)")


def quoted(text, mark="'"):
    return mark + text.replace("\\", "\\\\").replace(mark, "\\" + mark) + mark
