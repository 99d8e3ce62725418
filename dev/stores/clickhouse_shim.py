"""The part of ClickHouse's HTTP interface that weir, its tests and curl use, in front of the engine in this process.

What it promises:
* a request whose body breaks off or stalls inserts nothing;
* settings in the URL hold for that request and no other, an unknown one is refused as ClickHouse refuses it;
* a failure has ClickHouse's text, its code in X-ClickHouse-Exception-Code and the status that the server would send.
  A result is sent only once it is complete, so a failure never hides behind a 200;
* KILL QUERY ends a statement that has not begun and answers after one that has;
* SIGTERM lets the running statement end.

What it does not do: users (all are let in, it listens on 127.0.0.1), sessions, compression, statements in parallel.
"""

import argparse
import json
import re
import select
import signal
import sys
import tempfile
import threading
import uuid
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from clickhouse_engine import ClientGone, Engine, EngineError, Statement

# What one body may take of the memory; a larger one goes to a file.
BODY_IN_MEMORY_BYTES = 32 << 20
# Ends connections that are idle, and bodies that stall.
SILENCE_SECONDS = 300
# Parameters of the interface itself; every other one is a setting.
NOT_SETTINGS = {"query", "database", "default_format", "query_id", "user", "password", "quota_key", "role"} | {
    *("wait_end_of_query", "buffer_size", "enable_http_compression", "stacktrace", "decompress", "compress"),
    *("session_id", "session_timeout", "session_check", "close_session"),
}
NOT_SUPPORTED = ("session_id", "compress", "decompress")
BAD_REQUEST_CODES = (6, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 69, 72, 117, 321, 427, 456, 457)
NOT_FOUND_CODES = (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336)
STATUS = dict.fromkeys(BAD_REQUEST_CODES, 400) | dict.fromkeys(NOT_FOUND_CODES, 404)
STATUS |= {48: 501, 159: 408, 164: 403, 497: 403}


class BadRequest(Exception):
    """Refused before it reached the engine."""


class BodyBroken(Exception):
    """The client went away in the middle of its request."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_SECONDS
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == "/ping" or not url.query:
            self.reply(200, b"Ok.\n", {})
        else:
            self.serve()

    def do_POST(self):
        self.serve()

    def serve(self):
        try:
            with tempfile.SpooledTemporaryFile(BODY_IN_MEMORY_BYTES) as body:
                self.reply(*self.outcome(body))
        except (BodyBroken, ClientGone):
            self.close_connection = True
        except OSError as error:
            self.close_connection = True
            self.log_error("connection lost: %s", error)

    def outcome(self, body):
        """(status, content, headers) of the request."""
        try:
            statement = self.statement()
            with self.server.engine.announced(statement):
                self.read_statement(statement, body)
                answer = self.server.engine.run(statement)
        except EngineError as error:
            self.log_error("%s | %s", error, statement.text[:500].decode(errors="replace"))
            headers = {"X-ClickHouse-Exception-Code": error.code}
            return STATUS.get(error.code, 500), f"{error}\n".encode(), headers
        except BadRequest as error:
            # Its body may not have been read.
            self.close_connection = True
            text = f"Code: 36. DB::Exception: {error}. (BAD_ARGUMENTS)\n"
            return 400, text.encode(), {"X-ClickHouse-Exception-Code": 36, "Connection": "close"}
        headers = {
            "X-ClickHouse-Format": answer.format,
            "X-ClickHouse-Query-Id": statement.query_id,
            "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in answer.summary.items()}),
        }
        return 200, answer.content, headers

    def statement(self):
        """Everything that the request's head says. The text may still have to come, in the body."""
        pairs = parse_qsl(urlsplit(self.path).query, keep_blank_values=True, errors="surrogateescape")
        values = dict(pairs)
        if self.headers.get("Content-Encoding", "identity") != "identity":
            raise BadRequest("compression is not supported here, switch it off in the client")
        if refused := [name for name in NOT_SUPPORTED if values.get(name, "0") not in ("", "0")]:
            raise BadRequest(f"{refused[0]} is not supported here, switch it off in the client")
        settings = {n: v for n, v in pairs if n not in NOT_SETTINGS and not n.startswith("param_")}
        for name in settings:
            if not re.fullmatch(r"\w+", name):
                raise BadRequest(f"not the name of a setting: {name}")
        if self.command == "GET":
            # As the server does: a link must not change anything.
            settings.setdefault("readonly", "2")
        return Statement(
            text=values.get("query", "").encode("utf-8", "surrogateescape"),
            body=None,
            default_format=values.get("default_format") or self.headers.get("X-ClickHouse-Format", "TabSeparated"),
            query_id=values.get("query_id") or str(uuid.uuid4()),
            database=values.get("database") or self.headers.get("X-ClickHouse-Database", ""),
            settings=settings,
            parameters={n.removeprefix("param_"): v for n, v in pairs if n.startswith("param_")},
            client_is_gone=self.client_is_gone,
        )

    def read_statement(self, statement, body):
        is_empty = sum(body.write(part) for part in self.body_parts()) == 0
        body.seek(0)
        if self.headers.get_content_type() == "multipart/form-data":
            read_form(self.headers["Content-Type"], body.read(), statement)
        elif not statement.text:
            statement.text = body.read()
        elif not is_empty:
            statement.body = body
        if not statement.text.strip():
            raise BadRequest("the query is empty")

    def body_parts(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            yield from self.exactly(int(self.headers.get("Content-Length", 0)))
            return
        while size := self.chunk_size():
            yield from self.exactly(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def chunk_size(self):
        try:
            return int(self.rfile.readline(1024).split(b";")[0], 16)
        except ValueError:
            raise BodyBroken from None

    def exactly(self, size):
        while size:
            part = self.rfile.read(min(size, 1 << 20))
            if not part:
                raise BodyBroken
            size -= len(part)
            yield part

    def client_is_gone(self):
        poll = select.poll()
        poll.register(self.connection, select.POLLRDHUP)
        return bool(poll.poll(0))

    def reply(self, status, content, headers):
        self.send_response(status)
        common = {"Content-Type": "text/plain; charset=UTF-8", "X-ClickHouse-Timezone": "UTC"}
        for name, value in {**common, **headers, "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code="-", size="-"):
        """Only failures are logged."""

    def log_message(self, format, *args):
        print(self.log_date_time_string(), format % args, file=sys.stderr, flush=True)


def read_form(content_type, body, statement):
    """A form's fields, as weir's client sends a query that has parameters."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = b"--" + (header.get_param("boundary") or "").encode()
    for part in body.split(boundary)[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        value = value.removesuffix(b"\r\n")
        if name and name.group(1) == b"query":
            statement.text = value
        elif name and name.group(1).startswith(b"param_"):
            statement.parameters[name.group(1)[len(b"param_") :].decode()] = value.decode("utf-8", "surrogateescape")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main():
    arguments = argparse.ArgumentParser(description="ClickHouse's engine behind its HTTP interface.")
    arguments.add_argument("--folder", type=Path, required=True)
    arguments.add_argument("--port", type=int, required=True)
    chosen = arguments.parse_args()
    stop = threading.Event()
    # Before the engine starts, so that it finds its threads' signals already taken.
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: stop.set())
    server = Server(("127.0.0.1", chosen.port), Handler)
    server.engine = Engine(chosen.folder)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.wait()
    server.shutdown()
    server.server_close()
    server.engine.close()


if __name__ == "__main__":
    main()
