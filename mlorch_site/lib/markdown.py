"""Markdown that people write, as HTML that is safe to show: comments and model cards.

Whatever the text says, nothing of it runs, loads or looks like a part of the page: HTML in it is text, pictures are
links, and an allow-list goes over what comes of it.
"""

from dataclasses import dataclass

import nh3
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

TEXT_MAX_CHARS = 100_000
HEADING_LAST = 6
TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
# What is wider than the page scrolls by itself, so the keyboard has to reach it.
SET = {"table": {"class": "table table-sm", "tabindex": "0"}, "pre": {"tabindex": "0"}}

_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
_cleaner = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    url_schemes=SCHEMES,
    set_tag_attribute_values=SET,
    link_rel="noopener noreferrer nofollow",
)


def render(text: str, *, heading_first: int = 3) -> SafeString:
    """The HTML of Markdown (CommonMark with tables). Its largest heading becomes `<h{heading_first}>`, below the
    page's own ones. A text of more than TEXT_MAX_CHARS is shown as it is written.
    """
    if len(text) > TEXT_MAX_CHARS:
        return format_html('<pre tabindex="0">{}</pre>', text)
    tokens = _parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + heading_first - 1, HEADING_LAST)}"
    html = _parser.renderer.render(tokens, _parser.options, {})
    return mark_safe(_cleaner.clean(html))  # noqa: S308 - made of an allow-list


@dataclass(frozen=True)
class MarkdownPart:
    """The text below one heading, up to the next one; what stands before the first has an empty heading."""

    heading: str
    level: int
    text: str


def parts_of(text: str, *, deepest: int) -> list[MarkdownPart]:
    """Markdown cut at its headings down to a level (1 is the largest); only at those that are headings, and not inside
    of code, quotes and lists. The first part is what comes before.
    """
    lines = text.split("\n")
    tokens = _parser.parse(text)
    cuts = [
        (token.map[0], token.map[1], int(token.tag[1:]), tokens[place + 1].content)
        for place, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map and int(token.tag[1:]) <= deepest
    ]
    begins = [*(begin for begin, *_ in cuts), len(lines)]
    found = [MarkdownPart("", 0, "\n".join(lines[: begins[0]]))]
    for (_, after, level, heading), end in zip(cuts, begins[1:], strict=True):
        found.append(MarkdownPart(heading.strip(), level, "\n".join(lines[after:end])))
    return found
