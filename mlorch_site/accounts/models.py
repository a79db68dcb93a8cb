"""People, their roles, their sessions and API tokens, and who vouches for them."""

import uuid
from datetime import datetime

from django.contrib.auth.models import AbstractUser, Group
from django.db import models

from mlorch_site.accounts.roles import Role

THEMES = [("auto", "Like the system"), ("light", "Light"), ("dark", "Dark")]


class User(AbstractUser):
    """A person, or a service account: a program's account, without a password, which its `owner` answers for.

    Times are shown in `time_zone`; `theme` is kept here so that no page flashes; without `shortcuts` single
    keys do nothing. `mlflow_names`, with commas between them, are names that the person has in MLflow, besides those
    that speak for themselves; an administrator notes them.
    """

    owner = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="service_accounts")
    theme = models.CharField(max_length=8, choices=THEMES, default="auto")
    time_zone = models.CharField(max_length=64, default="UTC")
    shortcuts = models.BooleanField(default=True, db_default=True)
    mlflow_names = models.CharField(
        "names in MLflow", max_length=300, blank=True, default="", db_default="", help_text="With commas between them."
    )

    def __str__(self) -> str:
        return self.get_full_name() or self.username

    @property
    def is_service(self) -> bool:
        """Whether it is a program's account."""
        return self.owner_id is not None

    @property
    def may_act(self) -> bool:
        """Whether it is switched on, and so is its owner (reads the owner of a service account)."""
        return self.is_active and (self.owner is None or self.owner.is_active)


class BindingSet(models.QuerySet["RoleBinding"]):
    def in_force(self, now: datetime) -> "BindingSet":
        """The bindings that give a right at `now`: those that nobody ended and that have not expired."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=now), ended_at=None)


class RoleBinding(models.Model):
    """A role given to a person in a scope (`*`, `environment:<name>`, `model:<name>`).

    It holds until it is ended, and before `expires_at`. It is never deleted. `given_by` and `ended_by` are null for
    what mlorch itself did; `given_at` is null for a binding older than the record of when it was given. `issuer` is the
    short name of the issuer whose groups gave it; what a person gave by hand has none.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="bindings")
    role = models.CharField(max_length=20, choices=[(role.value, role.label) for role in Role])
    scope = models.CharField(max_length=300)
    reason = models.CharField(max_length=300, blank=True, default="", db_default="")
    given_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    given_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.CharField(max_length=300, blank=True, default="", db_default="")
    issuer = models.CharField(max_length=40, blank=True, default="", db_default="")

    objects = BindingSet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role", "scope", "issuer"],
                condition=models.Q(ended_at=None),
                name="one_open_binding_per_scope",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.role} in {self.scope}"

    @property
    def role_label(self) -> str:
        return Role(self.role).label

    @property
    def is_given_by_oneself(self) -> bool:
        return self.given_by_id is not None and self.given_by_id == self.user_id

    def is_in_force(self, now: datetime) -> bool:
        """Whether it gives a right at `now`: from its expiry on, to the instant, it does not."""
        return self.ended_at is None and (self.expires_at is None or self.expires_at > now)


class ApiToken(models.Model):
    """A person's key to the REST API. Only the SHA-256 of the token is stored; the token itself is shown once.

    One that `replaces` another works beside it until the older one ends.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    replaces = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="successors")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}"

    def is_live(self, now: datetime) -> bool:
        """Whether the token can be used at `now`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class Absence(models.Model):
    """A person says from which day to which they are away: days of their own time zone, the last one included.

    `ended_at`: when they took it back, or came back early. It is never deleted.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="absences")
    first_day = models.DateField()
    last_day = models.DateField()
    note = models.CharField(max_length=200, blank=True)
    said_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["first_day", "pk"]
        indexes = [
            models.Index(fields=["last_day"], name="open_absences", condition=models.Q(ended_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.user.username} is absent from {self.first_day} to {self.last_day}"


class PersonSession(models.Model):
    """A sign-in at a browser: where, when, and how the person proved who they are.

    `session_key` leads to the session; it is over when that is gone. `issuer` and `issuer_session` are of whoever
    vouched for the person, empty for a sign-in of our own.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    session_key = models.CharField(max_length=40, unique=True)
    began_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    address = models.CharField(max_length=64, blank=True)
    device = models.CharField(max_length=80, blank=True)
    proven_by = models.CharField(max_length=80)
    issuer = models.CharField(max_length=40, blank=True)
    issuer_session = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["-last_seen_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.user}: {self.device}"


class SignOnIssuer(models.Model):
    """An identity provider that people sign on with, as an administrator wrote it down. `secret` is sealed."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=40)
    url = models.CharField(max_length=200, unique=True)
    client_id = models.CharField(max_length=191)
    secret = models.TextField(blank=True)
    groups_claim = models.CharField(max_length=80, default="groups")
    is_enabled = models.BooleanField(default=True)
    links_verified_address = models.BooleanField(default=False)
    counts_as_second_factor = models.BooleanField(default=False)
    binding_days = models.PositiveSmallIntegerField(default=30)
    rules = models.JSONField(default=list)
    version = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class IssuerMembership(models.Model):
    """That a person is in a group of ours because of a group of an issuer, so that only this is taken back."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="issuer_memberships")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="+")
    issuer = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "group", "issuer"], name="one_membership_per_issuer")]

    def __str__(self) -> str:
        return f"{self.user} in {self.group} by {self.issuer}"


class AttemptCount(models.Model):
    """Attempts to sign in since a moment: for one name, or from one network."""

    key = models.CharField(max_length=80, primary_key=True)
    since = models.DateTimeField(db_index=True)
    attempts = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.key}: {self.attempts}"


class IdempotentCall(models.Model):
    """A write that was made with an `Idempotency-Key`, and its answer. `status` is null while it is under way."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=100)
    fingerprint = models.CharField(max_length=80)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="one_call_per_key")]

    def __str__(self) -> str:
        return self.key
