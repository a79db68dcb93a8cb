import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlorch_site.accounts.models import User
from mlorch_site.accounts.selectors import actor_for_user
from mlorch_site.lib.errors import DomainError
from registry.policy_import import draft_from_document


class Command(BaseCommand):
    help = "Make a draft of a policy out of a YAML document; it is reviewed and published like any other."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("document", help="a file, or - for what comes in")
        parser.add_argument("--author", required=True, help="the name of the person who writes it")

    def handle(self, *args: Any, **options: Any) -> None:
        author = User.objects.filter(username=options["author"], is_active=True).first()
        if author is None:
            raise CommandError(f"There is nobody called {options['author']}.")
        try:
            text = sys.stdin.read() if options["document"] == "-" else Path(options["document"]).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"The document cannot be read: {error}") from error
        actor = replace(actor_for_user(author), address="manage.py policy_import")
        try:
            draft = draft_from_document(actor=actor, text=text)
        except DomainError as error:
            places = "\n".join(f"{place}: {why}" for place, why in error.details.items())
            raise CommandError(places or error.message) from error
        self.stdout.write(f"Draft {draft.pk}: /policies/drafts/{draft.pk}/")
