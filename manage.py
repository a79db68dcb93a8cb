#!/usr/bin/env python
"""Django's command line for the site."""

import os
import sys
from pathlib import Path

from mlorch_site.launch.backup.held_files import hold
from mlorch_site.launch.supervisor.ordinary_user import become_owner


def main() -> None:
    data_dir = Path(os.environ.get("MLORCH_DATA_DIR") or Path(__file__).resolve().parent / "var")
    hold(sys.argv[1:], data_dir)
    # Root's files in a data directory that an ordinary user has would be out of that user's reach.
    become_owner(data_dir)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlorch_site.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
