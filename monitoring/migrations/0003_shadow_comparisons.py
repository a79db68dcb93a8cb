"""What shadow answers are compared to. A site of the version before can still write windows."""

from django.db import migrations, models

COUNT = models.PositiveIntegerField(db_default=0, default=0)
DIFFERENCE = models.FloatField(db_default=0, default=0)
FIELDS = {"compared": COUNT, "agreed": COUNT, "difference_sum": DIFFERENCE, "difference_max": DIFFERENCE}


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0002_roll_up_cursor")]
    operations = [
        migrations.AddField(model_name="window", name=name, field=field.clone()) for name, field in FIELDS.items()
    ]
