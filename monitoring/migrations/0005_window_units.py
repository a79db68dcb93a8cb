"""Counts per unit bucket. A site of the version before can still write windows."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0004_roll_ups_of_four_hours")]
    operations = [
        migrations.AddField(
            model_name="window", name="units", field=models.JSONField(blank=True, default=None, null=True)
        )
    ]
