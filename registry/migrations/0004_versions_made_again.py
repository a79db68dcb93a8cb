"""Versions whose number was given again, the files of each digest, and what a policy wants when MLflow changed."""

import django.db.models.deletion
from django.db import migrations, models

FACTS = ("flavors", "requirements", "python", "input_example", "mlflow_version")


def keep_artifact_sets(apps, schema_editor):
    """What is known of the files in the store, by digest; of two versions with one digest it is the same."""
    kept = apps.get_model("registry", "ArtifactSet").objects
    for row in apps.get_model("registry", "Version").objects.exclude(digest="").iterator():
        facts = {name: row.evidence[name] for name in FACTS if name in row.evidence}
        taken_in_at = row.digest_looked_at or row.updated_at
        kept.get_or_create(digest=row.digest, defaults={"facts": facts, "taken_in_at": taken_in_at})


def name_versions(apps, schema_editor):
    """Which version an alias is wanted at; its number alone may be given again."""
    versions = apps.get_model("registry", "Version").objects
    for intent in apps.get_model("registry", "AliasIntent").objects.exclude(version_number=None):
        intent.version = versions.filter(model=intent.model_id, number=intent.version_number).first()
        intent.save(update_fields=["version"])


class Migration(migrations.Migration):
    dependencies = [("registry", "0003_digest_looked_at")]

    operations = [
        migrations.CreateModel(
            name="ArtifactSet",
            fields=[
                ("digest", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("facts", models.JSONField(default=dict)),
                ("taken_in_at", models.DateTimeField()),
            ],
        ),
        migrations.AlterModelOptions(name="version", options={"ordering": ["model", "-number", "-id"]}),
        migrations.RemoveConstraint(model_name="version", name="one_row_per_version"),
        migrations.AddField(
            model_name="aliasintent",
            name="version",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="registry.version",
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="when_changed_outside",
            field=models.CharField(
                choices=[("go_back", "go back"), ("hold", "hold"), ("go_on", "go on")],
                default="go_back",
                help_text="What a rollout does when its version is deleted or changed in MLflow meanwhile.",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="version",
            name="superseded_at",
            field=models.DateTimeField(blank=True, help_text="When its number was seen given again.", null=True),
        ),
        migrations.AddConstraint(
            model_name="version",
            constraint=models.UniqueConstraint(
                condition=models.Q(("superseded_at", None)), fields=("model", "number"), name="one_row_per_version"
            ),
        ),
        migrations.RunPython(keep_artifact_sets, migrations.RunPython.noop),
        migrations.RunPython(name_versions, migrations.RunPython.noop),
    ]
