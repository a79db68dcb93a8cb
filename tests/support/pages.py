"""The site's pages as a browser without scripts uses them: signed in, following forms."""

import http.cookiejar
import re
import urllib.parse
import urllib.request

from tests.support.product import Product
from tests.support.waiting import patience


class Pages:
    """One signed-in person of the credentials file."""

    def __init__(self, product: Product, who: str) -> None:
        self._web = product.web
        self._jar = http.cookiejar.CookieJar()
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        person = product.credentials["people"][who]
        self.post("/sign-in/", username=person["username"], password=person["password"])

    @property
    def cookies(self) -> str:
        """The cookies as a request's header."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._jar)

    def get(self, path: str) -> str:
        """The page at a path."""
        with self._browser.open(self._web + path, timeout=patience()) as answer:
            return str(answer.read().decode())

    def post(self, path: str, form_at: str = "", **fields: str) -> tuple[str, str]:
        """Send a form that stands at `form_at` (at its own path unless said otherwise); where that led to, and what
        stands there.
        """
        self.get(form_at or path)
        token = next(cookie.value for cookie in self._jar if cookie.name == "mlorch_csrf")
        body = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token or ""}).encode()
        request = urllib.request.Request(self._web + path, body, {"Referer": self._web + path})
        with self._browser.open(request, timeout=patience()) as answer:
            return urllib.parse.urlsplit(answer.url).path, str(answer.read().decode())


def hidden(page: str, name: str) -> str:
    """The value of a hidden field. Raises ValueError when the page has none."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    if found is None:
        raise ValueError(f"there is no field {name}")
    return found.group(1)
