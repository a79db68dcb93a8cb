from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlorch_site.audit.verification import verify


class Command(BaseCommand):
    help = "Walk the audit chain, hold it against the signed checkpoints, and say whether every record is as it was."

    def handle(self, *args: Any, **options: Any) -> None:
        result = verify()
        if not result.holds:
            raise CommandError(f"The audit chain is broken after {result.checked} records. {result.problem}")
        self.stdout.write(f"The audit chain holds: {result.checked} records, head {result.head}.")
        if result.newest:
            self.stdout.write(f"Signed at {result.newest.at}: {result.newest.size} records, root {result.newest.root}.")
        self.stdout.write(f"Compared with {', '.join(result.compared)}.")
        if result.note:
            self.stdout.write(result.note)
