import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0007_artifact_retention"),
    ]

    operations = [
        migrations.CreateModel(
            name="Fact",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("name", "name"),
                            ("owner", "owner"),
                            ("risk_tier", "risk_tier"),
                            ("alias", "alias"),
                            ("deleted", "deleted"),
                            ("status", "status"),
                            ("digest", "digest"),
                        ],
                        max_length=12,
                    ),
                ),
                ("key", models.CharField(blank=True, max_length=255)),
                ("value", models.CharField(blank=True, max_length=256)),
                ("at", models.DateTimeField()),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="facts", to="registry.model"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="facts",
                        to="registry.version",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["model", "version", "id"], name="fact_of_model"),
                    models.Index(fields=["version", "id"], name="fact_of_version"),
                ],
            },
        ),
    ]
