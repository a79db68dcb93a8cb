from django.db import migrations, models


def quotas_into_policies(apps, schema_editor):
    """The quota of replicas that an environment had holds under each of its policies and drafts that says none."""
    policy_model = apps.get_model("registry", "Policy")
    for draft in apps.get_model("registry", "PolicyDraft").objects.select_related("environment"):
        if draft.values.get("replicas_max") is None:
            draft.values["replicas_max"] = draft.environment.replica_quota
            draft.save(update_fields=["values"])
    for environment in apps.get_model("registry", "Environment").objects.all():
        without = policy_model.objects.filter(environment=environment, replicas_max=None)
        without.update(replicas_max=environment.replica_quota)


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0012_policy_lines"),
    ]

    operations = [
        migrations.RunPython(quotas_into_policies, migrations.RunPython.noop),
        migrations.RemoveField(
            model_name="environment",
            name="replica_quota",
        ),
        migrations.AlterField(
            model_name="policy",
            name="cost_per_day_max",
            field=models.FloatField(
                blank=True, help_text="What all replicas of the environment may cost a day.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="endpoints_max",
            field=models.PositiveIntegerField(
                blank=True, help_text="Endpoints that the environment may have, retired ones not counted.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="policy",
            name="replicas_max",
            field=models.PositiveIntegerField(
                blank=True, help_text="Replicas that may run at the same time in the environment.", null=True
            ),
        ),
    ]
