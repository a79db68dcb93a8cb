"""Receivers of what mlorch sends: a mail server and a web server on loopback, which answer as a test tells them."""

import email
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.ports import free_ports


class Mailbox:
    """What arrived, and what the server says to a recipient and to a message (empty: takes it)."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.to_recipient = self.to_data = ""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if not self.to_recipient:
            envelope.rcpt_tos.append(address)
        return self.to_recipient or "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if not self.to_data:
            self.messages.append(email.message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return self.to_data or "250 OK"


@contextmanager
def mail_server(settings: Any) -> Iterator[Mailbox]:
    """A mail server that the site is set up with."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_ports(1)[0])
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.MAIL_IS_CONFIGURED = "127.0.0.1", controller.port, True
    try:
        yield box
    finally:
        controller.stop()


class Heard:
    """One request: its headers in lower case, and its body."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers, self.body = headers, body


@contextmanager
def webhook_server() -> Iterator[Any]:
    """A web server that keeps in `heard` what it was sent and answers `status`; `url` is its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            httpd.heard.append(Heard({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(httpd.status)
            self.send_header("Location", "http://169.254.169.254/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    httpd: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.heard, httpd.status, httpd.url = [], 200, f"http://localhost:{httpd.server_port}/hook"
    thread = Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield httpd
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
