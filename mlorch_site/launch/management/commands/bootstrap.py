from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from mlorch_site.audit.checkpointing import checkpoint_or_log
from mlorch_site.launch.bootstrap import FILE_NAME, bootstrap


class Command(BaseCommand):
    help = "Create environments, the first people and a gateway key in a new installation; print the passwords once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--web", default=settings.WEB_URL)
        parser.add_argument("--gateway", default=settings.GATEWAY_URL)
        parser.add_argument("--gateway-grpc", default="", help="host:port of the gateway's gRPC, empty without")
        parser.add_argument("--mlflow", default=settings.MLFLOW_TRACKING_URI)

    def handle(self, *args: Any, **options: Any) -> None:
        addresses = {name: options[name] for name in ("web", "gateway", "gateway_grpc", "mlflow")}
        made = bootstrap(settings.DATA_DIR, **addresses)
        checkpoint_or_log()  # at every start; the first makes the key
        if made is None:
            return
        self.stdout.write("First people (shown once; also in the credentials file, readable by you only):")
        for person in made["people"].values():
            self.stdout.write(f"  {person['username']:<10} {person['password']}")
        self.stdout.write(f"API tokens and a gateway key: {settings.DATA_DIR / FILE_NAME}")
