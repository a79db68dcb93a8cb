"""A real OpenID Connect provider (`oidc-provider` of npm) on loopback, and somebody who signs on at it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client
from jwt.algorithms import RSAAlgorithm

from tests.support.ports import free_ports
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a secret of a client that is long enough"
LINK = 'rel="noreferrer"'


def key_make(kid: str) -> dict[str, Any]:
    """A private key as a JWK."""
    jwk = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    return {key: value for key, value in jwk.items() if key != "key_ops"} | {"kid": kid, "alg": "RS256", "use": "sig"}


def node() -> str | None:
    """Node, from PATH or from where the scripts put it."""
    own = ROOT / ".venv" / "node" / "bin" / "node"
    return shutil.which("node") or (str(own) if own.exists() else None)


class IdentityProvider:
    """The provider's address, and what it does from now on."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}"

    def write(self, name: str, value: Any) -> None:
        (self.folder / f"{name}.json").write_text(json.dumps(value))

    def says(self, sub: str, **claims: Any) -> None:
        """Let this subject sign on, with these claims."""
        self.write("setup", {**json.loads((self.folder / "setup.json").read_text()), "signs_on": sub})
        self.write("people", {sub: claims})

    def spoils(self, **twist: Any) -> None:
        """Spoil id tokens from now on: `claims`, `header`, and the `key` or `secret` they are signed with."""
        self.write("twist", twist)

    def keys(self, *keys: dict[str, Any]) -> None:
        """Sign with the first of these keys from now on, and offer them all."""
        self.write("keys", list(keys))
        requests.get(f"{self.url}/test/renew", timeout=10)

    def walk(self, page: str) -> str:
        """Go from our page that leads on to where the provider sends the browser back, as path and query."""
        url = page.split('http-equiv="refresh" content="0;url=')[1].split('"')[0].replace("&amp;", "&")
        browser = requests.Session()
        for _ in range(8):
            answer = browser.get(url, allow_redirects=False, timeout=10)
            where = answer.headers.get("Location", "")
            assert where, answer.text[:500]
            url = where if where.startswith("http") else self.url + where
            if "/back/" in url:
                parts = urlsplit(url)
                return f"{parts.path}?{parts.query}"
        raise AssertionError("the provider leads nowhere")

    def sign_on(self, browser: Client, slug: str = "house", **form: str) -> Any:
        """Sign on with `browser`; what our site answers in the end."""
        page = browser.post(f"/sign-on/{slug}/", form)
        assert page.status_code == 200, page.content
        return browser.get(self.walk(page.content.decode()))


@contextmanager
def identity_provider(folder: Path) -> Iterator[IdentityProvider]:
    """A provider that runs while the block does, with the client `mlorch` of the issuer `house`."""
    found = node()
    assert found is not None
    (port,) = free_ports(1)
    provider = IdentityProvider(folder, port)
    client = {
        "client_id": "mlorch",
        "client_secret": SECRET,
        "redirect_uris": [f"http://testserver/sign-on/{slug}/back/" for slug in ("house", "other")],
        "backchannel_logout_uri": f"{provider.url}/nowhere",
        "backchannel_logout_session_required": True,
    }
    provider.write("setup", {"clients": [client], "conform": False, "signs_on": ""})
    provider.write("twist", {})
    provider.write("people", {})
    provider.write("keys", [key_make("first")])
    command = [found, "--no-warnings", str(Path(__file__).with_name("identity_provider.mjs")), str(port), str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: answers(provider.url) or process.poll() is not None, "the identity provider answers")
        if process.poll() is not None:
            sys.exit(process.stderr.read() if process.stderr else "it ended")
        yield provider
    finally:
        process.terminate()
        process.communicate()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/.well-known/openid-configuration", timeout=5).ok
    except requests.RequestException:
        return False
