"""A replica names the digest that its release froze; an endpoint can be retired."""

from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def take_digests(apps, schema_editor):
    """What runs now was started from the digest of its version."""
    versions = apps.get_model("registry", "Version").objects.filter(pk=OuterRef("version"))
    apps.get_model("deployments", "Replica").objects.update(digest=Subquery(versions.values("digest")[:1]))


class Migration(migrations.Migration):
    dependencies = [("deployments", "0004_gateway_generations"), ("registry", "0004_versions_made_again")]

    operations = [
        migrations.AddField(
            model_name="replica",
            name="digest",
            field=models.CharField(default="", max_length=80),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="endpoint",
            name="retired_at",
            field=models.DateTimeField(
                blank=True, help_text="Since when it serves nothing and takes no release.", null=True
            ),
        ),
        migrations.RunPython(take_digests, migrations.RunPython.noop),
    ]
