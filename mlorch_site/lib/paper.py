"""HTML on paper: a PDF/UA that a process of its own makes of a page, with bounded memory and time, without network."""

import os
import subprocess
import sys

from django.conf import settings

from mlorch_site.lib.paper_printer import MISSING

PRINT_WITHIN_S = 120
PDF_MAX_BYTES = 20 * 1024 * 1024
STYLE = settings.BASE_DIR / "static" / "css" / "paper.css"
NO_PANGO = (
    "PDF cannot be made here: WeasyPrint does not find Pango. On Debian: apt-get install libpango-1.0-0 "
    "libpangoft2-1.0-0 libharfbuzz-subset0. The print view needs nothing."
)


class NotPrinted(Exception):
    """The PDF could not be made; the text says why, for people."""


def printed(page: str) -> bytes:
    """A page of HTML, in which nothing has to be fetched, as PDF/UA. Raises NotPrinted."""
    command = [sys.executable, "-m", "mlorch_site.lib.paper_printer", str(STYLE)]
    env = {"PATH": os.defpath, "PYTHONPATH": str(settings.BASE_DIR), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            command, input=page.encode(), env=env, cwd="/", capture_output=True, timeout=PRINT_WITHIN_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotPrinted(f"The PDF was not made within {PRINT_WITHIN_S} s.") from None
    if done.returncode == MISSING:
        raise NotPrinted(NO_PANGO)
    if done.returncode != 0 or not done.stdout.startswith(b"%PDF-"):
        raise NotPrinted(f"The PDF could not be made: its process ended with {done.returncode}.")
    if len(done.stdout) > PDF_MAX_BYTES:
        raise NotPrinted(f"The PDF is larger than {PDF_MAX_BYTES >> 20} MiB.")
    return done.stdout
