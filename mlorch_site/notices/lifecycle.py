"""States of deliveries, and how a person wants to be told. Pure data."""

from dataclasses import dataclass
from enum import StrEnum


class Channel(StrEnum):
    MAIL = "mail"
    WEBHOOK = "webhook"


class MessageFormat(StrEnum):
    """How a webhook says it."""

    STANDARD = "standard"  # Standard Webhooks: type, timestamp, data
    SLACK = "slack"  # what Slack's incoming webhooks take


FORMAT_LABELS = {MessageFormat.STANDARD: "Standard Webhooks", MessageFormat.SLACK: "Slack, and what reads its format"}


class DeliveryStatus(StrEnum):
    WAITING = "waiting"
    SENT = "sent"
    DROPPED = "dropped"  # nobody is to be told of it any more; `last_error` says why
    GIVEN_UP = "given_up"  # tried too often, or refused for good


class NoticeMode(StrEnum):
    """How a person is told by e-mail of one kind of thing. The page of notices has it in any case."""

    AT_ONCE = "at_once"
    DIGEST = "digest"
    OFF = "off"


D = DeliveryStatus
DELIVERY_MOVES: dict[DeliveryStatus, frozenset[DeliveryStatus]] = {
    D.WAITING: frozenset({D.SENT, D.DROPPED, D.GIVEN_UP}),
    D.SENT: frozenset({D.WAITING}),  # sent once more because somebody asked for it
    D.GIVEN_UP: frozenset({D.WAITING}),
    D.DROPPED: frozenset(),
}
MODE_LABELS = {
    NoticeMode.AT_ONCE: "At once",
    NoticeMode.DIGEST: "In the daily digest",
    NoticeMode.OFF: "No e-mail",
}


@dataclass(frozen=True)
class DeliveryLook:
    """How a delivery's status is shown."""

    label: str
    colour: str
    icon: str


DELIVERY_LOOKS = {
    D.WAITING: DeliveryLook("Waiting", "azure", "refresh"),
    D.SENT: DeliveryLook("Sent", "green", "circle-check"),
    D.DROPPED: DeliveryLook("Not needed any more", "secondary", "ban"),
    D.GIVEN_UP: DeliveryLook("Given up", "red", "alert-triangle"),
}
