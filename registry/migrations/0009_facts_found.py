"""What is known of models and versions now is where their facts begin: what was known before was not kept."""

from itertools import islice

from django.db import migrations
from django.utils import timezone

BATCH = 5000


def _of_models(fact, models, at):
    for model in models:
        for kind in ("name", "owner", "risk_tier"):
            yield fact(model=model, kind=kind, value=getattr(model, kind), at=at)
        for alias in model.aliases.all():
            yield fact(model=model, kind="alias", key=alias.name, value=str(alias.version_number), at=at)
        if model.deleted_at is not None:
            yield fact(model=model, kind="deleted", value="yes", at=at)


def _of_versions(fact, versions, at):
    for version in versions:
        for kind in ("status", "digest"):
            if value := getattr(version, kind):
                yield fact(model_id=version.model_id, version=version, kind=kind, value=value, at=at)


def begin(apps, schema_editor):
    fact, at = apps.get_model("registry", "Fact"), timezone.now()
    models = apps.get_model("registry", "Model").objects.prefetch_related("aliases").order_by("pk")
    versions = apps.get_model("registry", "Version").objects.only("model_id", "status", "digest").order_by("pk")
    for facts in (_of_models(fact, models, at), _of_versions(fact, versions.iterator(BATCH), at)):
        while batch := list(islice(facts, BATCH)):
            fact.objects.bulk_create(batch)


class Migration(migrations.Migration):
    dependencies = [("registry", "0008_facts")]
    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
