"""The head row, and triggers that refuse UPDATE and DELETE on the audit record."""

from django.db import migrations

MESSAGE = "audit records are append-only"

SQLITE = [
    f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit_auditrecord BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
    for verb in ("UPDATE", "DELETE")
]
POSTGRESQL = [
    f"""CREATE FUNCTION audit_refuse() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION '{MESSAGE}'; END $$ LANGUAGE plpgsql""",
    "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit_auditrecord FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
]


def create(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)
    apps.get_model("audit", "AuditHead").objects.get_or_create(pk=1, defaults={"sequence": 0, "hash": "0" * 64})


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for verb in ("update", "delete"):
            schema_editor.execute(f"DROP TRIGGER IF EXISTS audit_no_{verb}")
    else:
        schema_editor.execute("DROP TRIGGER IF EXISTS audit_no_change ON audit_auditrecord")
        schema_editor.execute("DROP FUNCTION IF EXISTS audit_refuse()")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(create, remove)]
