from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlorch_site.launch.backup.backup_restoring import backup_restore
from mlorch_site.lib.errors import DomainError


class Command(BaseCommand):
    help = "Restore a backup into an empty data directory and an empty database, and verify the audit record."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--without-secrets", action="store_true", help="leave the secrets to be put there by hand")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made, found = backup_restore(
                source=options["folder"],
                passphrase=settings.BACKUP_PASSPHRASE,
                with_secrets=not options["without_secrets"],
                say=self.stdout.write,
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        if not found.holds or (found.checked, found.head) != (made.records, made.head):
            raise CommandError(f"The audit record is not the one that was backed up. {found.problem}".strip())
        self.stdout.write(f"The audit chain holds: {found.checked} records. Compared with {', '.join(found.compared)}.")
        self.stdout.write("Start mlorch on it now: scripts/up --data DIR.")
