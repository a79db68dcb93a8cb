"""Windows as the gateways push them, and their roll-ups."""

from datetime import timedelta

from django.db import models

# how long windows of each width in seconds are kept
KEPT = {
    1: timedelta(hours=2),
    10: timedelta(hours=24),
    60: timedelta(days=30),
    600: timedelta(days=400),
    14_400: timedelta(days=400),
    86_400: timedelta(days=400),
}


class Window(models.Model):
    """Counts and a latency histogram of one arm over `seconds` from `start`, from one gateway (or rolled up over all).

    `requests` = ok + client_errors + server_errors + timeouts. `latency` is the histogram as in docs/wire.md section 4.
    Ids rise in order of arrival, and of commit, so a reader with a cursor misses none, late ones neither. Roll-ups (all
    wider ones of `KEPT`) have an empty `gateway` and hold exactly the one-second windows up to the `RollUpCursor`.
    `compared` answers of a shadow arm were held against those that clients got, `agreed` of them said the same; the
    differences are absolute ones of their numbers. `units` has the counts per unit bucket as in docs/wire.md section 4;
    None in roll-ups, and where no release rolled out.
    """

    environment = models.CharField(max_length=40)
    endpoint = models.CharField(max_length=80)
    arm = models.CharField(max_length=20)
    version = models.PositiveIntegerField()
    release = models.CharField(max_length=36)
    gateway = models.CharField(max_length=80, blank=True)
    seconds = models.PositiveIntegerField(default=1)
    start = models.DateTimeField()
    requests = models.PositiveIntegerField()
    ok = models.PositiveIntegerField()
    client_errors = models.PositiveIntegerField(default=0)
    server_errors = models.PositiveIntegerField(default=0)
    timeouts = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    drawn = models.PositiveIntegerField(default=0)
    latency = models.JSONField(default=dict)
    compared = models.PositiveIntegerField(default=0, db_default=0)
    agreed = models.PositiveIntegerField(default=0, db_default=0)
    difference_sum = models.FloatField(default=0, db_default=0)
    difference_max = models.FloatField(default=0, db_default=0)
    units = models.JSONField(null=True, blank=True, default=None)

    class Meta:
        indexes = [
            models.Index(fields=["environment", "endpoint", "seconds", "start"], name="window_by_endpoint"),
            models.Index(fields=["environment", "endpoint", "id"], name="window_by_arrival"),
            models.Index(fields=["seconds", "start"], name="window_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint}/{self.arm} {self.start:%H:%M:%S} {self.requests} requests"


class GatewayCursor(models.Model):
    """The last batch accepted of one boot of a gateway: makes a repeated push harmless and a gap visible."""

    gateway = models.CharField(max_length=80)
    boot = models.CharField(max_length=36)
    sequence = models.BigIntegerField(default=0)
    dropped_windows = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["gateway", "boot"], name="one_cursor_per_boot")]

    def __str__(self) -> str:
        return f"{self.gateway} at {self.sequence}"


class RollUpCursor(models.Model):
    """The newest one-second window that is in the roll-ups: the one row that rolling up is serialised by."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    window_id = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"rolled up to #{self.window_id}"
