from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlorch_site.accounts.actor import Actor
from mlorch_site.lib.errors import DomainError
from registry.evidence.services.advisories import advisories_load


class Command(BaseCommand):
    help = "Load an advisory file (OSV: JSON, lines of JSON, or a zip of them), which replaces the one before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="for example all.zip of the ecosystem PyPI at osv.dev")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        named = settings.ADVISORIES
        if named and path.resolve() != Path(named).resolve():
            raise CommandError(f"MLORCH_ADVISORIES names {named}, which is loaded when it changes: replace that file.")
        try:
            made = advisories_load(actor=Actor.controller("operator"), name=path.name, raw=path.read_bytes())
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"In force: {made.count} advisories as of {made.as_of:%Y-%m-%d}, {made.digest}.")
