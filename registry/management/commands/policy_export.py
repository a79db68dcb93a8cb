from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.models import Policy
from registry.policy_document import write_document
from registry.policy_lines import line_of, title_of
from registry.services.environments import policy_values


class Command(BaseCommand):
    help = (
        "Write a revision of a policy as a YAML document: the one in force of the environment's own line, unless told."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("environment")
        parser.add_argument("--revision", type=int, help="the number of a revision")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Policy.objects.filter(environment__name=options["environment"]).select_related("environment", "model")
        if options["revision"] is not None:
            found = rows.filter(revision=options["revision"]).first()
        else:
            found = rows.filter(retired_at=None, model=None, tier="").first()
        if found is None:
            raise CommandError("There is no such revision.")
        line = line_of(found)
        text = write_document(
            environment=line.environment.name,
            model=line.model.name if line.model else "",
            tier=line.tier,
            note=found.note,
            values=policy_values(found),
            title=title_of(found),
        )
        self.stdout.write(text, ending="")
