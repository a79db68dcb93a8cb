"""Outcomes and metrics of the user's own: what is reported of requests, what Prometheus is asked for."""

import uuid

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0007_roll_ups_of_a_day"),
        ("registry", "0021_kept_files"),
    ]

    operations = [
        migrations.CreateModel(
            name="MetricQuery",
            fields=[
                ("endpoint", models.CharField(max_length=80)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=40)),
                ("query", models.CharField(max_length=1000)),
                ("unit", models.CharField(blank=True, max_length=20)),
                ("stale_after_s", models.PositiveIntegerField(default=120)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=150)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="registry.environment"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="registry.model"
                    ),
                ),
            ],
            options={
                "ordering": ["name", "-created_at"],
            },
        ),
        migrations.CreateModel(
            name="MetricReading",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("release", models.CharField(max_length=36)),
                ("arm", models.CharField(max_length=20)),
                ("read_at", models.DateTimeField()),
                ("measured_at", models.DateTimeField(blank=True, null=True)),
                ("value", models.FloatField(blank=True, null=True)),
                ("reason", models.CharField(blank=True, max_length=300)),
                (
                    "query",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="readings",
                        to="monitoring.metricquery",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="OutcomeDefinition",
            fields=[
                ("endpoint", models.CharField(max_length=80)),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=40)),
                ("kind", models.CharField(choices=[("binary", "Yes or no"), ("number", "Number")], max_length=6)),
                ("low", models.FloatField(default=0)),
                ("high", models.FloatField(default=1)),
                ("larger_is", models.CharField(choices=[("better", "Better"), ("worse", "Worse")], max_length=6)),
                ("unit", models.CharField(blank=True, max_length=20)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=150)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="registry.environment"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="registry.model"
                    ),
                ),
            ],
            options={
                "ordering": ["name", "-created_at"],
            },
        ),
        migrations.CreateModel(
            name="PrometheusServer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("url", models.CharField(max_length=300)),
                ("sealed_token", models.TextField(blank=True)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=150)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "environment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="registry.environment"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ReportedOutcome",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=64)),
                ("arm", models.CharField(max_length=20)),
                ("version", models.PositiveIntegerField()),
                ("release", models.CharField(max_length=36)),
                ("second", models.BigIntegerField()),
                ("bucket", models.PositiveSmallIntegerField(blank=True, null=True)),
                ("value", models.FloatField()),
                ("observed_at", models.DateTimeField()),
                ("late_s", models.FloatField(help_text="From the request until its outcome first came.")),
                ("corrections", models.PositiveIntegerField(default=0)),
                ("posted_by", models.CharField(max_length=150)),
                (
                    "definition",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="outcomes",
                        to="monitoring.outcomedefinition",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="metricquery",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)),
                fields=("environment", "endpoint", "name"),
                name="one_metric_query_of_a_name",
            ),
        ),
        migrations.AddIndex(
            model_name="metricreading",
            index=models.Index(fields=["query", "release", "id"], name="reading_of_release"),
        ),
        migrations.AddIndex(
            model_name="metricreading",
            index=models.Index(fields=["read_at"], name="reading_by_age"),
        ),
        migrations.AddConstraint(
            model_name="outcomedefinition",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)),
                fields=("environment", "endpoint", "name"),
                name="one_outcome_of_a_name",
            ),
        ),
        migrations.AddConstraint(
            model_name="prometheusserver",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)), fields=("environment",), name="one_prometheus_server"
            ),
        ),
        migrations.AddIndex(
            model_name="reportedoutcome",
            index=models.Index(fields=["definition", "second", "arm"], name="outcome_by_time"),
        ),
        migrations.AddIndex(
            model_name="reportedoutcome",
            index=models.Index(fields=["second"], name="outcome_by_age"),
        ),
        migrations.AddConstraint(
            model_name="reportedoutcome",
            constraint=models.UniqueConstraint(fields=("definition", "key"), name="one_outcome_per_key"),
        ),
    ]
