"""A real SMTP server that takes every mail and puts it into a Maildir, for `make run` and for tests.

    catcher.py FOLDER [--port N] [--tls CERTIFICATE KEY] [--implicit] [--login USER PASSWORD] [--faults]

It listens on 127.0.0.1 and prints its port in a line of its own. With --faults, what stands before the first dot of a
recipient's address orders a fault, and the number after it how often (for each address), as in drop.2.ada@example.com:

    rcpt450, rcpt550, rcpt554    answer to RCPT
    data451, data554    answer to the end of DATA; nothing is stored
    drop                the mail is stored, and the connection ends without an answer
    stall               no answer for a minute; nothing is stored
    late                the mail is stored, and the answer comes after 2 s
"""

import argparse
import asyncio
import mailbox
import signal
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

STALL_SECONDS = 60
LATE_SECONDS = 2


class Catcher:
    def __init__(self, folder, has_faults):
        self.mails, self.has_faults, self.ordered = mailbox.Maildir(folder, create=True), has_faults, {}

    def fault(self, address, kinds):
        """Which of these this address orders now."""
        what, _, rest = address.partition(".")
        times = rest.partition(".")[0]
        if not (self.has_faults and what in kinds and times.isdecimal()):
            return None
        self.ordered[address] = self.ordered.get(address, 0) + 1
        return what if self.ordered[address] <= int(times) else None

    async def handle_RCPT(self, server, session, envelope, address, options):
        fault = self.fault(address, ("rcpt450", "rcpt550", "rcpt554"))
        if fault == "rcpt450":
            return "450 4.2.0 not now"
        if fault == "rcpt550":
            return "550 5.1.1 there is no such user"
        if fault == "rcpt554":
            return "554 5.7.1 relay access denied"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        fault = self.fault(envelope.rcpt_tos[0], ("data451", "data554", "drop", "stall", "late"))
        if fault == "data451":
            return "451 4.3.0 try again"
        if fault == "data554":
            return "554 5.7.1 this is not wanted here"
        if fault == "stall":
            await asyncio.sleep(STALL_SECONDS)
            return "451 4.4.2 too late"
        head = "".join(f"X-Caught-For: {address}\r\n" for address in envelope.rcpt_tos).encode()
        self.mails.add(head + envelope.original_content)
        if fault == "drop":
            server.transport.abort()
        if fault == "late":
            await asyncio.sleep(LATE_SECONDS)
        return "250 2.0.0 taken"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--implicit", action="store_true")
    parser.add_argument("--login", nargs=2)
    parser.add_argument("--faults", action="store_true")
    asked = parser.parse_args()
    context = None
    if asked.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*asked.tls)
    options = {"enable_SMTPUTF8": True}
    if context and not asked.implicit:
        options |= {"tls_context": context, "require_starttls": True}
    if asked.login:
        wanted = tuple(text.encode() for text in asked.login)

        def check(server, session, envelope, mechanism, given):
            return AuthResult(success=(given.login, given.password) == wanted)

        options |= {"authenticator": check, "auth_required": True, "auth_require_tls": context is not None}
    asyncio.run(serve(Catcher(asked.folder, asked.faults), asked, options, context))


async def serve(catcher, asked, options, context):
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    implicit = context if asked.implicit else None
    server = await loop.create_server(lambda: SMTP(catcher, **options), "127.0.0.1", asked.port, ssl=implicit)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    main()
