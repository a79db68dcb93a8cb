"""OpenID Connect as a client: allauth speaks it, and what it leaves open is looked at here.

allauth makes the request (state of the session, PKCE) and exchanges the code. It does not send a nonce, and it trusts
an id token that came from the token endpoint without a look at its signature. Here every id token is verified:
signature by a key of the issuer of now and an algorithm of public keys, issuer, audience, the party it was made for,
time, nonce, and how old the sign-in is where that was asked. What userinfo says counts only about the same subject.
"""

import secrets
from typing import Any

from allauth.socialaccount.internal import jwtkit, statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest
from django.urls import reverse
from jwt import PyJWTError, get_unverified_header
from requests import RequestException

from mlorch_site.accounts.sign_on.issuers import Issuer, Vouched, is_asked
from mlorch_site.lib import clock
from mlorch_site.lib.errors import Invalid, Unavailable

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA", "Ed448": "EdDSA"}
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
CLOCKS_APART_S = 60
SUBJECT_MAX_CHARS = 191
GROUPS_MAX = 1000


class IssuerClient(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth has no types
    """allauth's client of one issuer of ours."""

    def __init__(self, request: HttpRequest, issuer: Issuer) -> None:
        super().__init__(request, issuer.slug)
        self.issuer = issuer

    def get_provider(self) -> "IssuerProvider":
        return IssuerProvider(self.request, self.issuer)

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return request.build_absolute_uri(reverse("sign-on-back", args=[self.issuer.slug]))

    @property
    def openid_config(self) -> dict[str, Any]:
        """What the issuer says of itself. Raises OAuth2Error when it calls itself something else."""
        found = super().openid_config
        if not isinstance(found, dict) or found.get("issuer") != self.issuer.url:
            raise OAuth2Error("it calls itself by another address than the one that is configured")
        if not all(is_asked(str(found.get(name, ""))) for name in ENDPOINTS):
            raise OAuth2Error("it names addresses that are not asked")
        return found


class IssuerProvider(OpenIDConnectProvider):  # type: ignore[misc]  # allauth has no types
    """allauth's provider for one issuer of ours."""

    pkce_enabled_default = True

    def __init__(self, request: HttpRequest, issuer: Issuer) -> None:
        app = SocialApp(
            provider="openid_connect",
            provider_id=issuer.slug,
            name=issuer.name,
            client_id=issuer.client_id,
            secret=issuer.secret_in_clear(),
            settings={"server_url": issuer.discovery_url},
        )
        super().__init__(request, app=app)
        self.client = IssuerClient(request, issuer)

    def get_oauth2_adapter(self, request: HttpRequest) -> IssuerClient:
        return self.client


def address_to_ask(
    request: HttpRequest, issuer: Issuer, *, next_url: str, purpose: str, kept: str = "", anew: bool = False
) -> str:
    """Where the browser goes to sign on; `anew` asks for a proof whatever session the issuer has with the person.

    Raises Unavailable when the issuer does not answer as one.
    """
    nonce = secrets.token_urlsafe(24)
    data = {"nonce": nonce, "purpose": purpose, "kept": kept, "anew": anew, "at": clock.now().timestamp()}
    params = {"nonce": nonce, **({"max_age": "0", "prompt": "login"} if anew else {})}
    try:
        provider = IssuerProvider(request, issuer)
        _ = provider.client.openid_config  # what is wrong with it is told here, and not by a page of allauth
        answer = provider.redirect(
            request, AuthProcess.LOGIN, next_url, data, auth_params=params, scope=["openid", "profile", "email"]
        )
        return str(answer["Location"])
    except (OAuth2Error, RequestException, KeyError, ValueError) as error:
        raise _not_answering(issuer, error) from error


def vouched(request: HttpRequest, issuer: Issuer) -> Vouched:
    """What the issuer says, out of the answer that the browser brings. It counts once.

    Raises Invalid when the sign-on was not begun in this browser, was refused there, or what came is not proved;
    Unavailable when the issuer does not answer.
    """
    state = statekit.unstash_state(request, provider_id=issuer.slug, state_id=request.GET.get("state", ""))
    if state is None or not isinstance(state.get("data"), dict):
        raise Invalid("This sign-on was not begun in this browser, or too long ago. Begin once more.")
    if request.GET.get("iss", issuer.url) != issuer.url:
        raise Invalid("This answer is of another issuer than the one that was asked.")
    if "error" in request.GET or "code" not in request.GET:
        said = "It was broken off." if request.GET.get("error") == "access_denied" else "The issuer refused."
        raise Invalid(f"{said} Nobody was signed in.")
    client = IssuerClient(request, issuer)
    app = client.get_provider().app
    try:
        answer = client.get_access_token_data(
            request, app, client.get_client(request, app), pkce_code_verifier=state.get("pkce_code_verifier")
        )
        claims = id_token_claims(client, str(answer.get("id_token", "")), state["data"])
        about = _userinfo(client, str(answer["access_token"]), claims)
    except (RequestException, KeyError) as error:
        raise _not_answering(issuer, error) from error
    except (OAuth2Error, PyJWTError, ValueError, TypeError) as error:
        raise _not_proved(issuer, error) from error
    return _vouched(issuer, {**claims, **about}, state)


def id_token_claims(client: IssuerClient, token: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The claims of an id token that answers what was `asked`. Raises OAuth2Error or PyJWTError with what is wrong."""
    claims = _verified(client, token)
    if not secrets.compare_digest(str(claims.get("nonce", "")).encode(), str(asked["nonce"]).encode()):
        raise OAuth2Error("its nonce is not the one of this sign-on")
    if asked.get("anew"):
        proved_at = claims.get("auth_time")
        if type(proved_at) not in (int, float) or proved_at < asked["at"] - CLOCKS_APART_S:
            raise OAuth2Error("it does not say that the person proved who they are just now")
    return claims


def logout_said(request: HttpRequest, issuer: Issuer, token: str) -> tuple[str, str]:
    """Of whom, and of which session of theirs, a logout token says that it is over; either may be empty.

    Raises Invalid when it is not proved to be the issuer's, Unavailable when the issuer does not answer.
    """
    try:
        claims = _logout_claims(IssuerClient(request, issuer), token)
    except RequestException as error:
        raise _not_answering(issuer, error) from error
    except (OAuth2Error, PyJWTError, ValueError, TypeError, KeyError) as error:
        raise _not_proved(issuer, error) from error
    return _text(claims, "sub"), _text(claims, "sid")


def _logout_claims(client: IssuerClient, token: str) -> dict[str, Any]:
    """The claims of a logout token (OpenID Connect Back-Channel Logout 1.0). Raises OAuth2Error or PyJWTError."""
    claims = _verified(client, token)
    events = claims.get("events")
    is_logout = isinstance(events, dict) and "http://schemas.openid.net/event/backchannel-logout" in events
    if not is_logout or "nonce" in claims or not (claims.get("sub") or claims.get("sid")):
        raise OAuth2Error("it is no logout token")
    if type(claims.get("iat")) not in (int, float) or claims["iat"] < clock.now().timestamp() - 600:
        raise OAuth2Error("it is too old")
    return claims


def _verified(client: IssuerClient, token: str) -> dict[str, Any]:
    """The claims of a token of the issuer: signature, issuer, audience, party and time hold."""
    header = get_unverified_header(token)
    if header.get("alg") not in ALGORITHMS:
        raise OAuth2Error("it is not signed with an algorithm of public keys")
    if not header.get("kid"):
        raise OAuth2Error("it does not say which key signed it")
    config, own = client.openid_config, client.issuer.client_id
    claims: dict[str, Any] = jwtkit.verify_and_decode(
        credential=token,
        keys_url=config["jwks_uri"],
        issuer=client.issuer.url,
        audience=own,
        lookup_kid=_public_key,
    )
    audience = claims["aud"]
    many = isinstance(audience, list) and len(audience) > 1
    if (many or "azp" in claims) and claims.get("azp") != own:
        raise OAuth2Error("it was made for another party")
    if not all(type(claims.get(name)) in (int, float) for name in ("exp", "iat")):
        raise OAuth2Error("it does not say when it was made and until when it holds")
    return claims


def _public_key(keys: Any, kid: str) -> Any:
    """The key `kid` that signs, of the issuer's keys of now; None when it has none."""
    usable = [
        {"alg": CURVES.get(key.get("crv"), "RS256"), **key}
        for key in keys.get("keys", [])
        if key.get("kid") == kid and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
    ]
    return jwtkit.lookup_kid_jwk({"keys": usable}, kid)


def _userinfo(client: IssuerClient, access_token: str, claims: dict[str, Any]) -> dict[str, Any]:
    """What the issuer's userinfo says besides, when it is about the same person; nothing where it has none."""
    address = client.openid_config.get("userinfo_endpoint")
    if not address:
        return {}
    if not is_asked(str(address)):
        raise OAuth2Error("it names addresses that are not asked")
    found = client._fetch_user_info(access_token)
    if not isinstance(found, dict) or found.get("sub") != claims.get("sub"):
        raise OAuth2Error("userinfo is about somebody else")
    # What the signed token says of itself stands.
    return {name: value for name, value in found.items() if name not in {"iss", "aud", "sub", "sid", "nonce"}}


def _vouched(issuer: Issuer, claims: dict[str, Any], state: dict[str, Any]) -> Vouched:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject or len(subject) > SUBJECT_MAX_CHARS or not subject.isprintable():
        raise Invalid(f"{issuer.name} does not say who this is.")
    raw = claims.get(issuer.groups_claim)
    groups = [raw] if isinstance(raw, str) else raw if isinstance(raw, list) else []  # not said is in none
    return Vouched(
        subject=subject,
        name=_text(claims, "name"),
        preferred_name=_text(claims, "preferred_username"),
        address=_text(claims, "email"),
        address_is_verified=claims.get("email_verified") is True,
        groups=frozenset(group for group in groups[:GROUPS_MAX] if isinstance(group, str)),
        session=_text(claims, "sid"),
        next_url=str(state.get("next", "")),
        purpose=str(state["data"].get("purpose", "")),
        kept=str(state["data"].get("kept", "")),
    )


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    return value[:255] if isinstance(value, str) and value.isprintable() else ""


def _not_answering(issuer: Issuer, error: Exception) -> Unavailable:
    return Unavailable(f"{issuer.name} does not answer as an issuer should ({_why(error)}). Try again in a while.")


def _not_proved(issuer: Issuer, error: Exception) -> Invalid:
    return Invalid(f"What {issuer.name} answered is not accepted: {_why(error)}. Nobody was signed in.")


def _why(error: Exception) -> str:
    """What was wrong, without anything of what was sent."""
    cause = error.__cause__
    if isinstance(cause, PyJWTError):
        return type(cause).__name__
    words = str(error) if isinstance(error, OAuth2Error) else ""
    return words if words and len(words) < 100 and "\n" not in words and "b'" not in words else type(error).__name__
