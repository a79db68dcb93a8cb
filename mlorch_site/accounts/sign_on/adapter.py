"""What allauth asks us when it speaks to an issuer."""

from typing import Any

from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.http import HttpRequest


class IssuerAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth has no types
    """Nobody signs up by themselves, and no application of allauth's tables counts: issuers are ours."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def list_apps(self, request: HttpRequest, provider: Any = None, client_id: Any = None) -> list[Any]:
        return []

    def get_requests_session(self) -> Any:
        """A session that goes where it is sent and nowhere else, and does not wait for long."""
        session = super().get_requests_session()
        session.max_redirects = 0
        session.trust_env = False
        return session
