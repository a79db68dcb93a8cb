from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from deployments.services import artifacts_plan, artifacts_sweep
from mlorch_site.lib import clock
from registry.models import ArtifactSet

MIB = 1024 * 1024


class Command(BaseCommand):
    help = "Let go of the artifacts that nothing needs any more, as is done every hour."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        is_dry = options["dry_run"]
        swept = artifacts_plan(now=clock.now()) if is_dry else artifacts_sweep(now=clock.now())
        verb = "would go" if is_dry else "went"
        for one in swept.gone:
            stored = one.stored
            last = f"{stored.needed_at:%Y-%m-%d %H:%M}"
            self.stdout.write(f"{stored.digest} {verb}: {stored.size_bytes // MIB} MiB, last needed {last}, {one.why}")
        for kept in ArtifactSet.objects.filter(kept_until__gt=clock.now(), let_go_at=None).select_related("kept_by"):
            self.stdout.write(f"{kept.digest} stays until {kept.kept_until:%Y-%m-%d %H:%M}, by {kept.kept_by}")
        for problem in swept.problems:
            self.stdout.write(f"left alone: {problem}")
        self.stdout.write(f"{len(swept.gone)} sets {verb}; {swept.kept} stay ({swept.kept_bytes // MIB} MiB).")
