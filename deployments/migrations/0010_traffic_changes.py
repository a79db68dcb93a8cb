import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0009_worker_profile"),
    ]

    operations = [
        migrations.CreateModel(
            name="TrafficChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_index=True)),
                ("sentence", models.CharField(max_length=500)),
                ("actor", models.CharField(max_length=150)),
                ("arms", models.JSONField(default=list)),
                ("is_retired", models.BooleanField(default=False)),
                ("route_revision", models.PositiveIntegerField(default=0)),
                ("is_derived", models.BooleanField(default=False)),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="traffic_changes",
                        to="deployments.endpoint",
                    ),
                ),
                (
                    "release",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="deployments.release",
                    ),
                ),
                (
                    "stable_release",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="deployments.release",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [models.Index(fields=["endpoint", "id"], name="traffic_of_endpoint")],
            },
        ),
    ]
