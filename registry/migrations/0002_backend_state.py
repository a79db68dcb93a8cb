"""The one row that says how the registry backend is."""

from django.db import migrations


def create(apps, schema_editor):
    apps.get_model("registry", "BackendState").objects.get_or_create(pk=1)


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]
    operations = [migrations.RunPython(create, migrations.RunPython.noop)]
