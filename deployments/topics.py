"""Who may listen to live news: of an endpoint or a release whoever may see it; lists carry ids only."""

from deployments.selectors import endpoints_visible_to, release_for
from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import DomainError
from mlorch_site.live.topics import anybody_who_views, register

LISTS = ("releases", "approvals", "registry", "gateways", "overview")


def may_hear_endpoint(actor: Actor, rest: str) -> bool:
    """`rest` is `<environment>.<name>`."""
    environment, _, name = rest.partition(".")
    return endpoints_visible_to(actor).filter(environment__name=environment, name=name).exists()


def may_hear_release(actor: Actor, rest: str) -> bool:
    """`rest` is the release's id."""
    try:
        release_for(actor, rest)
    except DomainError:
        return False
    return True


def register_topics() -> None:
    """Register the checks of every topic that pages listen to."""
    register("endpoint", may_hear_endpoint)
    register("release", may_hear_release)
    for name in LISTS:
        register(name, anybody_who_views)
