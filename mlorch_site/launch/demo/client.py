"""A small REST client for the demo: the same calls CI would make."""

from typing import Any

import aiohttp

CALL_TIMEOUT_S = 15


class CallFailed(Exception):
    """The site refused a call or did not answer; the text is the site's own sentence."""


class Site:
    """Calls of one person, by API token."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str) -> None:
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON answer of `/api/v1<path>`. Raises CallFailed."""
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        try:
            async with self._session.request(
                method, f"{self._base_url}/api/v1{path}", json=body, headers=self._headers, timeout=timeout
            ) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise CallFailed(f"the site does not answer ({type(error).__name__})") from error
        if response.status >= 400:
            raise CallFailed(answer.get("error", {}).get("message", f"HTTP {response.status}"))
        return answer

    async def get(self, path: str) -> dict[str, Any]:
        return await self.call("GET", path)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return await self.call("POST", path, body)
