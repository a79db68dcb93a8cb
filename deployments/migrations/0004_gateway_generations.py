from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0003_serving_batches_and_log"),
    ]

    # The rows are what gateways say of themselves every few seconds: made anew, they are there again before anybody misses them.
    operations = [
        migrations.DeleteModel(name="GatewayState"),
        migrations.CreateModel(
            name="GatewayState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("gateway", models.CharField(max_length=80)),
                ("boot", models.CharField(max_length=36)),
                ("applied", models.JSONField(default=dict)),
                ("refused", models.JSONField(default=dict)),
                ("in_flight", models.JSONField(default=dict)),
                ("stats", models.JSONField(default=dict)),
                ("first_seen_at", models.DateTimeField()),
                ("last_seen_at", models.DateTimeField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("gateway", "boot"), name="one_state_per_boot")],
            },
        ),
    ]
