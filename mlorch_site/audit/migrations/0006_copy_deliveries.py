from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("audit", "0005_verification_and_refusals")]

    operations = [
        migrations.CreateModel(
            name="CopyDelivery",
            fields=[
                ("place", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("delivered_size", models.BigIntegerField(default=0)),
                ("delivered_line", models.CharField(blank=True, max_length=64)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("failures", models.IntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
                ("next_attempt_at", models.DateTimeField()),
            ],
        ),
    ]
