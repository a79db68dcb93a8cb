from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mlorch_site.audit.chain import verify


class Command(BaseCommand):
    help = "Walk the audit chain and say whether every record is as it was written."

    def handle(self, *args: Any, **options: Any) -> None:
        result = verify()
        if not result.holds:
            raise CommandError(f"The audit chain is broken after {result.checked} records. {result.problem}")
        self.stdout.write(f"The audit chain holds: {result.checked} records, head {result.head}.")
