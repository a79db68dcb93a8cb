from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0006_joined_requests"),
    ]

    operations = [
        migrations.AddField(
            model_name="servingconfig",
            name="nan_literal",
            field=models.BooleanField(
                default=False, help_text="NaN and Infinity in answers of MLflow's protocol stay as Python writes them."
            ),
        ),
    ]
