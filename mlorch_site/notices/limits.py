"""Bounds of notices and their deliveries."""

from datetime import timedelta

TITLE_MAX_CHARS = 300
SENTENCE_MAX_CHARS = 500
NOTICES_KEPT = timedelta(days=90)
DELIVERIES_KEPT = timedelta(days=30)

ATTEMPTS_MAX = 10  # of one delivery, over about four hours
RETRY_FIRST = timedelta(seconds=30)  # doubles with every attempt
RETRY_LAST = timedelta(hours=2)
LEASE = timedelta(minutes=2)  # longer than the slowest attempt takes
DUE_PER_TICK = 20
DUE_PER_SUBSCRIPTION = 3  # in one tick, so that a slow receiver holds up nobody else

DIGEST_HOUR = 8  # in the person's own time zone
DIGEST_ROWS = 50

SUBSCRIPTIONS_MAX = 100
NAME_MAX_CHARS = 80
URL_MAX_CHARS = 500
FAILURES_MAX = 20  # attempts that failed one after the other; then the subscription is disabled
SECRET_OVERLAP = timedelta(hours=24)  # so long what is sent is signed with the former secret too
SECRET_BYTES = 32
