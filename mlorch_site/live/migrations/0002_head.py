"""The row that publishing is serialised by."""

from django.db import migrations


def create(apps, schema_editor):
    apps.get_model("live", "EventHead").objects.get_or_create(pk=1, defaults={"sequence": 0})


class Migration(migrations.Migration):
    dependencies = [("live", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
