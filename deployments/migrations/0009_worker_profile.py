from django.db import migrations

OLD, NEW = "ways", "profile"


def rename_in_evidence(apps, old, new):
    """A version's evidence keeps the profile of its worker under the name of the field."""
    version = apps.get_model("registry", "Version")
    for row in version.objects.filter(evidence__has_key=old).iterator():
        row.evidence = {new if key == old else key: value for key, value in row.evidence.items()}
        row.save(update_fields=["evidence"])


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0008_sandbox_and_network"),
        ("registry", "0005_policy_sandbox_level"),
    ]

    operations = [
        migrations.RenameField(model_name="replicastate", old_name=OLD, new_name=NEW),
        migrations.RunPython(
            lambda apps, _: rename_in_evidence(apps, OLD, NEW), lambda apps, _: rename_in_evidence(apps, NEW, OLD)
        ),
    ]
