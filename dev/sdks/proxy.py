"""A proxy between an SDK and weir that does harm by a script, and notes every request.

What a fault is, is what `testkit::FaultProxy` means by it: the same script is played to the SDKs that Rust's tests run.
"""

import contextlib
import http.client
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ports import HOST

NONE, RESET, REPLY_LOST = "none", "reset", "reply lost"
# What happens to the first requests that carry events, in the order of arrival; nothing to later ones. A tuple is a
# refusal by the proxy: status and seconds of `Retry-After`.
FAULTS = [REPLY_LOST, NONE, (503, 1), RESET, NONE, (429, 1), NONE, (503, None), REPLY_LOST]
# Besides those below `v1`.
EVENT_PATHS = ("batch", "e", "i/v0/e", "capture", "i/v1/analytics/events", "api/v1/events")
UPSTREAM_SECONDS = 30
PER_CONNECTION = ("connection", "transfer-encoding", "content-length", "keep-alive", "expect")


class Proxy:
    """Listens while it is entered. `seen` has (method, path, fault, status or None, request body)."""

    def __init__(self, upstream_port, faults=()):
        self.upstream_port, self.faults = upstream_port, list(faults)
        self.seen, self.lock = [], threading.Lock()
        self.server = ThreadingHTTPServer((HOST, 0), type("Handler", (Handler,), {"proxy": self}))
        self.server.daemon_threads = True
        self.url = f"http://{HOST}:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def note(self, method, path, body):
        """The request's place in `seen`, and its fault. Side calls and preflights are not harmed."""
        with self.lock:
            fault = NONE
            if method == "POST" and body and self.faults and carries_events(path):
                fault = self.faults.pop(0)
            self.seen.append([method, path, fault, None, body])
            return self.seen[-1], fault

    def posts(self):
        """The requests that carry events."""
        return [seen for seen in self.seen if seen[0] == "POST" and carries_events(seen[1])]

    def side_calls(self, key):
        """(method, path without its query and key, status) of the others, each once."""
        calls = [
            (method, path.partition("?")[0].replace(key, "KEY"), status)
            for method, path, _, status, _ in self.seen
            if method != "OPTIONS" and not (method == "POST" and carries_events(path))
        ]
        return sorted(set(calls), key=str)


def carries_events(path):
    path = path.partition("?")[0].strip("/")
    return path.startswith("v1/") or path in EVENT_PATHS


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy = None

    def handle_one_request(self):
        with contextlib.suppress(OSError):
            return super().handle_one_request()
        self.close_connection = True
        return None

    def answer(self):
        seen, fault = self.proxy.note(self.command, self.path, body := self.body())
        if fault == RESET:
            return self.reset()
        if isinstance(fault, tuple):
            status, retry_after = fault
            headers = [] if retry_after is None else [("Retry-After", str(retry_after))]
            return self.reply(status, headers, b"no")
        status, headers, content = self.forward(body)
        seen[3] = status
        if fault == REPLY_LOST:
            return self.reset()
        return self.reply(status, headers, content)

    do_GET = do_HEAD = do_POST = do_PUT = do_OPTIONS = answer

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def forward(self, body):
        connection = http.client.HTTPConnection(HOST, self.proxy.upstream_port, timeout=UPSTREAM_SECONDS)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in PER_CONNECTION}
            connection.request(self.command, self.path, body or None, headers)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        except (OSError, http.client.HTTPException):
            return 502, [], b"no"
        finally:
            connection.close()

    def reply(self, status, headers, content):
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in PER_CONNECTION:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def reset(self):
        """As a crash or a middlebox does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_):
        pass
