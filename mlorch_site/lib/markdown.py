"""Markdown that people write, as HTML that is safe to show: comments and model cards.

Whatever the text says, nothing of it runs, loads or looks like a part of the page: HTML in it is text, pictures are
links, and an allow-list goes over what comes of it.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import nh3
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

TEXT_MAX_CHARS = 100_000
HEADING_LAST = 6
NESTING_MAX = 20
NAME = re.compile(r"(?<![\w@./+-])@([\w.@+-]{1,150})")
TRAILING = ".@+-"
TAGS = {
    *("p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
# What is wider than the page scrolls by itself, so the keyboard has to reach it.
SET = {"table": {"class": "table table-sm", "tabindex": "0"}, "pre": {"tabindex": "0"}}


def _text(self: Any, tokens: list[Token], number: int, options: Any, env: Any) -> str:
    """Text with the names that are known set apart."""
    content, names = tokens[number].content, env.get("names", ())
    parts, end = [], 0
    for found in NAME.finditer(content):
        name = next((one for one in spellings(found[1]) if one in names), "")
        if name:
            parts += [escape(content[end : found.start()]), f"<strong>@{escape(name)}</strong>"]
            end = found.start() + 1 + len(name)
    return "".join([*parts, escape(content[end:])])


_parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_MAX})
_parser.enable(["table", "strikethrough"]).disable("image").add_render_rule("text", _text)
_cleaner = nh3.Cleaner(
    tags=TAGS,
    attributes=ATTRIBUTES,
    url_schemes=SCHEMES,
    set_tag_attribute_values=SET,
    link_rel="noopener noreferrer nofollow",
)


def render(text: str, *, heading_first: int = 3, names: Collection[str] = ()) -> SafeString:
    """The HTML of Markdown (CommonMark with tables). Its largest heading becomes `<h{heading_first}>`, below the
    page's own ones; each `@name` out of `names` is set apart. A text of more than TEXT_MAX_CHARS is shown as it is
    written.
    """
    if len(text) > TEXT_MAX_CHARS:
        return format_html('<pre tabindex="0">{}</pre>', text)
    tokens = _parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + heading_first - 1, HEADING_LAST)}"
    html = _parser.renderer.render(tokens, _parser.options, {"names": names})
    return mark_safe(_cleaner.clean(html))  # noqa: S308 - made of an allow-list


def spellings(name: str) -> list[str]:
    """What an `@name` may mean, the longest first: a full stop after a name is not of it."""
    found = [name]
    while found[-1] and found[-1][-1] in TRAILING:
        found.append(found[-1][:-1])
    return [one for one in found if one]


def named(text: str) -> list[list[str]]:
    """Each `@name` of `text`, in its order, as the spellings it may mean; names in code are none."""
    return [spellings(found[1]) for content in _texts(_parser.parse(text)) for found in NAME.finditer(content)]


def _texts(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "text":
            yield token.content
        elif token.children and token.type != "image":
            yield from _texts(token.children)


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
