import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def note_who_gave(apps, schema_editor):
    """Take from the audit record when the bindings of today were given, and by whom."""
    binding_model = apps.get_model("accounts", "RoleBinding")
    user_model = apps.get_model("accounts", "User")
    record_model = apps.get_model("audit", "AuditRecord")
    people = dict(user_model.objects.values_list("username", "pk"))
    given = {}
    bound = record_model.objects.filter(action="role.bound", subject_kind="person").order_by("sequence")
    for record in bound.iterator():
        given[record.subject_id, record.data.get("role"), record.data.get("scope")] = record
    for binding in binding_model.objects.all():
        record = given.get((str(binding.user_id), binding.role, binding.scope))
        if record is not None:
            binding.given_at = record.at
            binding.given_by_id = people.get(record.actor) if record.actor_kind in ("person", "token") else None
            binding.save(update_fields=["given_at", "given_by"])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_attempts_to_sign_in"), ("audit", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="rolebinding",
            name="scope",
            field=models.CharField(max_length=300),
        ),
        migrations.AddField(
            model_name="rolebinding",
            name="reason",
            field=models.CharField(blank=True, db_default="", default="", max_length=300),
        ),
        migrations.AddField(
            model_name="rolebinding",
            name="given_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="rolebinding", name="given_at", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="rolebinding", name="expires_at", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="rolebinding",
            name="ended_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="rolebinding", name="ended_at", field=models.DateTimeField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="rolebinding",
            name="end_reason",
            field=models.CharField(blank=True, db_default="", default="", max_length=300),
        ),
        migrations.RemoveConstraint(model_name="rolebinding", name="one_binding_per_scope"),
        migrations.AddConstraint(
            model_name="rolebinding",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at", None)),
                fields=("user", "role", "scope"),
                name="one_open_binding_per_scope",
            ),
        ),
        migrations.RunPython(note_who_gave, migrations.RunPython.noop),
    ]
