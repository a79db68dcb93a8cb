"""Filters of deliveries, for the page and for REST."""

from django_filters import CharFilter

from mlorch_site.lib.lists import TEXT_MAX_CHARS, Choices, Filters, choice_box, search_box
from mlorch_site.notices.lifecycle import DELIVERY_LOOKS, Channel


def statuses() -> Choices:
    return [("", "Any status"), *((status.value, look.label) for status, look in DELIVERY_LOOKS.items())]


def channels() -> Choices:
    return [("", "E-mail and webhooks"), (Channel.MAIL.value, "E-mail"), (Channel.WEBHOOK.value, "Webhooks")]


class DeliveryFilter(Filters):
    """Deliveries whose title holds `q`, by channel and status."""

    q = CharFilter("title", "icontains", max_length=TEXT_MAX_CHARS, widget=search_box("About"))
    channel = CharFilter(widget=choice_box("Channel", channels))
    status = CharFilter(widget=choice_box("Status", statuses))
