from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlorch_site.launch.backup.backup_making import backup_make
from mlorch_site.lib.errors import DomainError


class Command(BaseCommand):
    help = "Back up database, artifacts, secrets (sealed) and audit checkpoints into a new folder, while mlorch runs."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="new or empty, outside of the data directory")
        parser.add_argument("--without-secrets", action="store_true", help="leave the secrets out; keep them elsewhere")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = backup_make(
                target=options["folder"],
                passphrase=settings.BACKUP_PASSPHRASE,
                with_secrets=not options["without_secrets"],
                say=self.stdout.write,
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        size = sum(one.size for one in made.files)
        secrets = "secrets sealed" if made.has_secrets else "without secrets"
        self.stdout.write(f"Backed up {len(made.files)} files, {size:,} bytes, {secrets}: {options['folder']}")
