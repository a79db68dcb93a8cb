from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from deployments.bootstrap import FILE_NAME, bootstrap


class Command(BaseCommand):
    help = "Create environments, the first people and a gateway key in a new installation; print the passwords once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--web", default=settings.WEB_URL)
        parser.add_argument("--gateway", default=settings.GATEWAY_URL)
        parser.add_argument("--mlflow", default=settings.MLFLOW_TRACKING_URI)

    def handle(self, *args: Any, **options: Any) -> None:
        made = bootstrap(settings.DATA_DIR, web=options["web"], gateway=options["gateway"], mlflow=options["mlflow"])
        if made is None:
            return
        self.stdout.write("First people (shown once; also in the credentials file, readable by you only):")
        for person in made["people"].values():
            self.stdout.write(f"  {person['username']:<10} {person['password']}")
        self.stdout.write(f"API tokens and a gateway key: {settings.DATA_DIR / FILE_NAME}")
