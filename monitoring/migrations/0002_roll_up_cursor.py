"""Roll-ups go on after the newest window that is there now."""

from django.db import migrations, models


def start_at_newest(apps, schema_editor):
    newest = apps.get_model("monitoring", "Window").objects.aggregate(newest=models.Max("id"))["newest"]
    apps.get_model("monitoring", "RollUpCursor").objects.create(pk=1, window_id=newest or 0)


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="RollUpCursor",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("window_id", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.RunPython(start_at_newest, migrations.RunPython.noop),
    ]
