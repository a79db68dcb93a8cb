"""`python -m mlorch_site.lib.paper_printer STYLE`: HTML on standard input, PDF/UA on standard output.

A process of its own with bounded memory and time, which fetches nothing. It imports no Django.
"""

import resource
import sys
from pathlib import Path
from typing import Any, NoReturn

CPU_MAX_S = 60
MEMORY_MAX_BYTES = 2 * 1024**3
MISSING = 3  # the exit code where WeasyPrint, or the Pango that it needs, is not there
VARIANT = "pdf/ua-1"


def refuse(url: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Fetch nothing, from nowhere."""
    raise ValueError(f"{url[:100]} is not fetched")


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    try:
        import weasyprint  # where it is
    except (ImportError, OSError):
        sys.exit(MISSING)
    html = weasyprint.HTML(string=sys.stdin.read(), base_url=None, url_fetcher=refuse)
    style = weasyprint.CSS(string=Path(sys.argv[1]).read_text(), url_fetcher=refuse)
    sys.stdout.buffer.write(html.write_pdf(stylesheets=[style], pdf_variant=VARIANT))


if __name__ == "__main__":
    main()
