"""Triggers that refuse what 0002 let through: REPLACE (SQLite), TRUNCATE (PostgreSQL), and a head row that is deleted or
set back.
"""

from django.db import migrations

MESSAGE = "audit records are append-only"
HEAD_MESSAGE = "the audit head only goes on"

SQLITE = {
    # REPLACE deletes the old row without firing triggers on DELETE.
    "audit_no_replace": f"""BEFORE INSERT ON audit_auditrecord
        WHEN EXISTS (SELECT 1 FROM audit_auditrecord WHERE sequence = NEW.sequence)
        BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END""",  # noqa: S608 - a constant of ours
    "audit_head_no_delete": f"""BEFORE DELETE ON audit_audithead
        BEGIN SELECT RAISE(ABORT, '{HEAD_MESSAGE}'); END""",
    "audit_head_no_replace": f"""BEFORE INSERT ON audit_audithead
        WHEN EXISTS (SELECT 1 FROM audit_audithead WHERE id = NEW.id)
        BEGIN SELECT RAISE(ABORT, '{HEAD_MESSAGE}'); END""",  # noqa: S608 - a constant of ours
    "audit_head_no_return": f"""BEFORE UPDATE ON audit_audithead WHEN NEW.sequence < OLD.sequence
        BEGIN SELECT RAISE(ABORT, '{HEAD_MESSAGE}'); END""",
}
POSTGRESQL = [
    "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_auditrecord FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    "CREATE TRIGGER audit_head_no_truncate BEFORE TRUNCATE ON audit_audithead FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    "CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_audithead FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "CREATE TRIGGER audit_head_no_return BEFORE UPDATE ON audit_audithead FOR EACH ROW WHEN (NEW.sequence < OLD.sequence) EXECUTE FUNCTION audit_refuse()",
]
REMOVED = {
    "audit_no_truncate": "audit_auditrecord",
    "audit_head_no_truncate": "audit_audithead",
    "audit_head_no_delete": "audit_audithead",
    "audit_head_no_return": "audit_audithead",
}


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for name, rule in SQLITE.items():
            schema_editor.execute(f"CREATE TRIGGER {name} {rule}")
        return
    for statement in POSTGRESQL:
        schema_editor.execute(statement)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        for name in SQLITE:
            schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}")
        return
    for name, table in REMOVED.items():
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name} ON {table}")


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_checkpoints_and_scopes")]
    operations = [migrations.RunPython(create, remove)]
