import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]

    operations = [
        migrations.AddField("audithead", "checkpoint_size", models.BigIntegerField(db_default=0, default=0)),
        migrations.AddField("audithead", "checkpoint_at", models.DateTimeField(null=True)),
        migrations.CreateModel(
            name="AuditScope",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("scope", models.CharField(max_length=300)),
                (
                    "record",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="scopes",
                        to="audit.auditrecord",
                    ),
                ),
            ],
            options={"indexes": [models.Index(fields=["scope", "record"], name="audit_by_scope")]},
        ),
    ]
