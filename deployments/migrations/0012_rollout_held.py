from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0011_traffic_derived"),
    ]

    operations = [
        migrations.AddField(
            model_name="rollout",
            name="held_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
