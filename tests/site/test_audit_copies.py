"""Second places for checkpoints, and calls out of the house."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.conf import settings as site_settings

from mlorch_site import beat
from mlorch_site.audit.checkpointing import checkpoint_write
from mlorch_site.lib import clock, outgoing
from mlorch_site.lib.errors import Unavailable
from tests.support.folders import short_folder
from tests.support.tampering import acts


@pytest.fixture(autouse=True)
def folder(db, settings, tmp_path):
    settings.DATA_DIR, settings.AUDIT_CHECKPOINT_DIR = tmp_path, str(tmp_path / "audit")
    return tmp_path / "audit"


@pytest.fixture
def server(settings):
    """A web server on loopback that answers `status` and keeps what it was told."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.heard.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(self.server.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    httpd.heard, httpd.status = [], 200
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield httpd
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def url_of(server) -> str:
    return f"http://localhost:{server.server_port}/checkpoints"


def test_folder_copy__gets_the_same_lines(folder, settings, tmp_path):
    settings.AUDIT_COPY_DIR = str(tmp_path / "elsewhere")
    for _ in range(2):
        acts(2)
        checkpoint_write(now=clock.now())

    name = "checkpoints.jsonl"
    assert (tmp_path / "elsewhere" / name).read_bytes() == (folder / name).read_bytes()


def test_syslog_copy__gets_the_checkpoint(settings):
    with short_folder() as place, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"{place}/log")
        server.settimeout(5)
        settings.AUDIT_COPY_SYSLOG = f"{place}/log"
        acts(2)
        made = checkpoint_write(now=clock.now())
        heard = server.recv(65536)

    assert heard == b"<109>mlorch-audit: " + made.line()


def test_webhook_copy__gets_the_checkpoint(settings, server):
    settings.AUDIT_COPY_WEBHOOK, settings.OUTGOING_PRIVATE_NETWORKS = url_of(server), ["127.0.0.0/8", "::1/128"]
    acts(2)
    made = checkpoint_write(now=clock.now())

    assert [json.loads(body)["root"] for body in server.heard] == [made.root]


def test_copies__that_fail__hold_nothing_up(settings, tmp_path, folder):
    (tmp_path / "file").write_text("")
    settings.AUDIT_COPY_DIR = str(tmp_path / "file" / "below")
    settings.AUDIT_COPY_SYSLOG = str(tmp_path / "nobody")
    settings.AUDIT_COPY_WEBHOOK = "http://127.0.0.1:9/"
    acts(2)
    checkpoint_write(now=clock.now())

    assert len((folder / "checkpoints.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1:9/",
            "http://localhost:9/",
            "http://[::1]:9/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
        ),
        *("http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "http://2130706433/"),
    ],
)
def test_outgoing__address_that_is_not_public__is_refused(url):
    with pytest.raises(Unavailable, match=r"not public|no address"):
        outgoing.post(url, b"", "application/json")


@pytest.mark.parametrize("url", ["ftp://example.org/", "file:///etc/passwd", "http://a:b@example.org/", "http://:80/"])
def test_outgoing__other_schemes_and_names__are_refused(url):
    with pytest.raises(Unavailable, match="Only http and https"):
        outgoing.post(url, b"", "application/json")


def test_outgoing__redirect__is_not_followed(settings, server):
    settings.OUTGOING_PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128"]
    server.status = 307

    assert outgoing.post(url_of(server), b"x", "text/plain") == 307
    assert server.heard == [b"x"]


def test_beat__closed_in_order__leaves_a_checkpoint(folder):
    acts(3)
    beat._carry_out(beat.import_string(site_settings.CELERY_BEAT_LAST_ACT))

    assert json.loads((folder / "checkpoints.jsonl").read_text())["size"] == 3
