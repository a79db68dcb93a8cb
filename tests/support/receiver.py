"""A program outside that is asked by signed messages: it verifies them by itself, and keeps what it got in a folder.

`python receiver.py PORT FOLDER`; the secret is read from `FOLDER/secret` at each message, the answer's status from
`FOLDER/status`. Nothing of mlorch is imported.
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys
from pathlib import Path

FOLDER = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps each message as one JSON file, in order."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        secret = base64.b64decode((FOLDER / "secret").read_text().removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        is_right = hmac.compare_digest(wanted, self.headers["webhook-signature"])
        message = {"path": self.path, "id": self.headers["webhook-id"], "is_right": is_right, "body": json.loads(body)}
        number = len(list(FOLDER.glob("message-*.json")))
        (FOLDER / f"message-{number}.tmp").write_text(json.dumps(message))
        (FOLDER / f"message-{number}.tmp").rename(FOLDER / f"message-{number}.json")
        status = FOLDER / "status"
        self.send_response(int(status.read_text()) if status.exists() else 204)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


if __name__ == "__main__":
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
