from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0005_what_a_replica_runs"),
    ]

    operations = [
        migrations.AddField(
            model_name="replicastate",
            name="ways",
            field=models.JSONField(
                blank=True, default=dict, help_text="How its worker answers, docs/wire.md section 6."
            ),
        ),
        migrations.AddField(
            model_name="servingconfig",
            name="rows_independent",
            field=models.BooleanField(
                default=False,
                help_text="The model's answer for a row depends on that row alone, though its classes do not show it.",
            ),
        ),
    ]
