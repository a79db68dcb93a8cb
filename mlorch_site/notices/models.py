"""Notices, how people want them, and what is sent of them."""

import uuid
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models

from mlorch_site.notices.lifecycle import Channel, DeliveryStatus, MessageFormat


class Notice(models.Model):
    """One thing told to one person, once. `kind`, `thing` and `occasion` say what of: the thing's id, and which time of
    several it is told again.

    `environment` and `model` say where the thing lies, empty where it lies nowhere: who cannot see that place any more
    does not see the notice. `settled_at` is when it stopped waiting for this person. `mail` is the delivery that
    carries it by e-mail; `wants_digest` marks one that the next daily digest takes along.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=40)
    thing = models.CharField(max_length=64)
    occasion = models.CharField(max_length=40, blank=True)
    title = models.CharField(max_length=300)
    sentence = models.CharField(max_length=500)
    path = models.CharField(max_length=300)
    environment = models.CharField(max_length=40, blank=True)
    model = models.CharField(max_length=256, blank=True)
    created_at = models.DateTimeField(db_index=True)
    read_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    mail = models.ForeignKey("Delivery", null=True, blank=True, on_delete=models.SET_NULL, related_name="notices")
    wants_digest = models.BooleanField(default=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["person", "kind", "thing", "occasion"], name="one_notice_per_person")
        ]
        indexes = [
            models.Index(fields=["person", "-created_at"], name="notice_of_person"),
            models.Index(fields=["kind", "thing"], name="notice_by_thing"),
        ]

    def __str__(self) -> str:
        return f"{self.title} for {self.person}"

    @property
    def is_unread(self) -> bool:
        return self.read_at is None and self.settled_at is None


class NoticeSettings(models.Model):
    """How one person wants to be told: `modes` maps a kind to a mode, and kinds that are not in it are told at once.

    `digest_due_at` is when the next digest leaves; null while nothing waits for one.
    """

    person = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notice_settings")
    modes = models.JSONField(default=dict)
    digest_due_at = models.DateTimeField(null=True, blank=True, db_index=True)

    def __str__(self) -> str:
        return f"notices of {self.person}"


class Subscription(models.Model):
    """A URL that is told of kinds of things in environments (`["*"]`: all), by signed webhooks.

    Secrets are kept sealed (`mlorch_site.lib.sealing`). The former one signs too until `former_until`. `failures`
    counts attempts that failed one after the other.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    url = models.CharField(max_length=500)
    format = models.CharField(
        max_length=10, choices=[(f.value, f.value) for f in MessageFormat], default=MessageFormat.STANDARD
    )
    kinds = models.JSONField(default=list)
    environments = models.JSONField(default=list)
    sealed_secret = models.TextField()
    sealed_former = models.TextField(blank=True)
    former_until = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    failures = models.PositiveIntegerField(default=0)
    succeeded_at = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_reason = models.CharField(max_length=500, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def shown_url(self) -> str:
        """The URL as people and records have it: who knows a whole one of Slack's may post to its channel."""
        if self.format != MessageFormat.SLACK:
            return self.url
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}/…"

    @property
    def places(self) -> str:
        """Where it is told of, as people read it."""
        return ", ".join("everything" if name == "*" else name for name in self.environments)

    @property
    def is_active(self) -> bool:
        return self.disabled_at is None and self.ended_at is None


class Delivery(models.Model):
    """One message on its way out: an e-mail to a person, or a webhook to a subscription.

    Whoever moves `due_at` has the attempt; when that process dies, the time comes again. `body` is what a webhook
    carries, frozen so that every attempt says the same; an e-mail is written when it is sent, from what is true then.
    `seen_at` is when somebody took note that it was given up.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.CharField(max_length=8, choices=[(c.value, c.value) for c in Channel])
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")
    subscription = models.ForeignKey(Subscription, null=True, on_delete=models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=40)
    thing = models.CharField(max_length=64)
    occasion = models.CharField(max_length=40, blank=True)
    title = models.CharField(max_length=300)
    environment = models.CharField(max_length=40, blank=True)
    model = models.CharField(max_length=256, blank=True)
    body = models.TextField(blank=True)
    status = models.CharField(
        max_length=10, choices=[(s.value, s.value) for s in DeliveryStatus], default=DeliveryStatus.WAITING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(db_index=True)
    due_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "deliveries"
        indexes = [models.Index(fields=["due_at"], name="delivery_due", condition=models.Q(due_at__isnull=False))]
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "kind", "thing", "occasion"],
                condition=models.Q(subscription__isnull=False),
                name="one_webhook_per_thing",
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.title}"

    @property
    def message_id(self) -> str:
        """How a webhook's receiver knows the same message again."""
        return f"msg_{self.pk.hex}"

    def is_due(self, now: datetime) -> bool:
        return self.due_at is not None and self.due_at <= now


class DeliveryAttempt(models.Model):
    """One attempt to send. Without an outcome its process ended while it was under way: the message may have arrived.

    `status` is what a webhook's receiver answered.
    """

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    outcome = models.CharField(max_length=8, blank=True, choices=[("sent", "sent"), ("failed", "failed")])
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    duration_ms = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.outcome or 'no outcome'}"
