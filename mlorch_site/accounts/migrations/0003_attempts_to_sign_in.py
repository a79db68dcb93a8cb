from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_idempotent_calls")]

    operations = [
        migrations.CreateModel(
            name="AttemptCount",
            fields=[
                ("key", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("since", models.DateTimeField(db_index=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
            ],
        ),
    ]
