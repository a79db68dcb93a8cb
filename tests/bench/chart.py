"""The serving benchmark as a table for people and as a picture for the docs."""

from pathlib import Path
from typing import Any

WIDTH, BAR, GAP, LEFT, RIGHT = 760, 16, 6, 170, 90
PANELS = (((64, 1), "64 connections, 1 row"), ((8, 1), "8 connections, 1 row"), ((64, 100), "64 connections, 100 rows"))
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2937; } .title { font-weight: 600; } .bar { fill: #94a3b8; } .ours { fill: #2563eb; }
  @media (prefers-color-scheme: dark) { text { fill: #e5e7eb; } .bar { fill: #64748b; } .ours { fill: #60a5fa; } }
"""


def table(results: list[Any]) -> str:
    """All measurements as a Markdown table."""
    lines = [
        "| server | connections | rows | requests/s | p50 ms | p99 ms | CPU µs/request | memory "
        "MB (unique / resident) |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        name = f"{result.name} {result.version}".strip()
        if result.problem:
            lines.append(f"| {name} | | | {result.problem.replace('|', '/')} | | | | |")
        for run in result.runs:
            failed = f" ({run.failed} failed)" if run.failed else ""
            lines.append(
                f"| {name} | {run.connections} | {run.rows} | {run.rate:,.0f}{failed} | "
                f"{run.p50_ms:.2f} | {run.p99_ms:.2f} "
                f"| {run.cpu_us:,.0f} | {result.unique_mb:.0f} / {result.resident_mb:.0f} |"
            )
    return "\n".join(lines)


def picture(results: list[Any]) -> str:
    """Bars of requests per second as SVG, one panel per load."""
    panels = [
        (f"{title}: requests per second", [(one.name, run.rate) for one in results if (run := one.of(*load))])
        for load, title in PANELS
    ]
    return bars(panels, "Requests per second of mlorch and other servers on one core")


def bars(panels: list[tuple[str, list[tuple[str, float]]]], label: str) -> str:
    """Panels of a title and named values as SVG, legible on light and dark pages."""
    parts: list[str] = []
    top = 0
    for title, shown in panels:
        most = max((value for _, value in shown), default=1.0) or 1.0
        parts.append(f'<text class="title" x="0" y="{top + 14}">{title}</text>')
        top += 24
        for name, value in shown:
            width = max(1.0, value / most * (WIDTH - LEFT - RIGHT))
            kind = "bar ours" if name.startswith("mlorch") else "bar"
            parts.append(f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{name}</text>')
            parts.append(f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>')
            shows = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{top + 12}">{shows}</text>')
            top += BAR + GAP
        top += 14
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" aria-label="{label}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def between(page: Path, marker: str, text: str) -> None:
    """Write a text into a page of the docs, between its markers."""
    before, _, rest = page.read_text().partition(f"<!-- {marker} -->\n")
    _, _, after = rest.partition(f"<!-- end of {marker} -->")
    page.write_text(f"{before}<!-- {marker} -->\n{text}\n<!-- end of {marker} -->{after}")


def write(results: list[Any], docs: Path) -> None:
    """Write the picture and the table into the docs, between the page's markers."""
    (docs / "img").mkdir(exist_ok=True)
    (docs / "img" / "bench-serving.svg").write_text(picture(results))
    between(docs / "benchmarks.md", "serving", table(results))
