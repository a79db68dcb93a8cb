"""`manage.py permission_matrix`: what every route asks for and which roles have it, as Markdown."""

from typing import Any

from django.core.management.base import BaseCommand

from mlorch_site.accounts.permission_matrix import document


class Command(BaseCommand):
    help = "Print what every route asks for, and which roles have it."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(document(), ending="")
