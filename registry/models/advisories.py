"""What is known of packages: what the requirements of versions resolve to, and which packages have known flaws."""

from django.conf import settings
from django.db import models


class Resolution(models.Model):
    """What a set of requirements was resolved to, when it was really installed.

    `key` is a hash over the requirement lines and the Python version. `installed` are `name==version`;
    `has_own_environment` is false when the platform's own environment met all of them.
    """

    key = models.CharField(max_length=80, unique=True)
    installed = models.JSONField(default=list)
    has_own_environment = models.BooleanField(default=False)
    sandbox = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return self.key


class AdvisorySet(models.Model):
    """One advisory file that was loaded; at most one is in force.

    `digest` is that of the file, `as_of` the newest change of an advisory in it, which says how old the data are;
    `count` is how many advisories about Python packages it holds.
    """

    digest = models.CharField(max_length=80, unique=True)
    name = models.CharField(max_length=200)
    count = models.PositiveIntegerField()
    as_of = models.DateTimeField()
    loaded_at = models.DateTimeField()
    is_current = models.BooleanField(default=False)

    class Meta:
        ordering = ["-loaded_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_current"], condition=models.Q(is_current=True), name="one_current_advisory_set"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.as_of:%Y-%m-%d}"


class Advisory(models.Model):
    """One known flaw of one package. `content` is what of the advisory says which versions have it."""

    source = models.ForeignKey(AdvisorySet, on_delete=models.CASCADE, related_name="advisories")
    package = models.CharField(max_length=200)
    number = models.CharField(max_length=100)
    content = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["source", "package"], name="advisory_by_package")]

    def __str__(self) -> str:
        return f"{self.number}: {self.package}"


class SigningKey(models.Model):
    """A public key whose signatures of models count, from when it was added until it was ended.

    `fingerprint` is the SHA-256 of its PEM form, which signatures carry as a hint. A key is never deleted.
    """

    name = models.CharField(max_length=80)
    pem = models.TextField()
    fingerprint = models.CharField(max_length=64)
    reason = models.CharField(max_length=300)
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    added_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    ended_by = models.CharField(max_length=150, blank=True)
    ended_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["name", "added_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"], condition=models.Q(ended_at=None), name="one_open_key_per_fingerprint"
            ),
            models.UniqueConstraint(fields=["name"], condition=models.Q(ended_at=None), name="one_open_key_per_name"),
        ]

    def __str__(self) -> str:
        return self.name
