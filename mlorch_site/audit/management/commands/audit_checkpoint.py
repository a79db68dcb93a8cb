from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlorch_site.accounts.actor import Actor
from mlorch_site.audit.checkpointing import checkpoint_write, checkpoints_begin_anew
from mlorch_site.audit.copy_delivery import copies_send, copy_standings
from mlorch_site.lib import clock
from mlorch_site.lib.errors import DomainError


class Command(BaseCommand):
    help = "Sign what was recorded since the last checkpoint, now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--begin-anew", action="store_true", help="put those so far aside and begin anew")
        parser.add_argument("--reason", default="", help="why they begin anew; it becomes a record")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["begin_anew"]:
                made = checkpoints_begin_anew(actor=Actor.controller("operator"), reason=options["reason"])
            else:
                made = checkpoint_write(now=clock.now())
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Signed: {made.size} records, root {made.root}." if made else "Nothing is new.")
        copies_send(now=clock.now())
        for copy in copy_standings():
            waiting = f"{copy.waiting} wait: {copy.last_error}" if copy.waiting else "nothing waits"
            self.stdout.write(f"{copy.label}: delivered up to {copy.delivered_size} records, {waiting}.")
