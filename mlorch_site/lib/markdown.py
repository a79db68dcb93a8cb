"""Markdown that people write, as HTML that is safe to show.

Two locks: the parser lets no HTML through, and of what it makes only what is on a list stays. Pictures become links, so
that looking at a page tells nobody else that one looked.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token

TAGS = {"a", "blockquote", "br", "code", "del", "em", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "strong"}
TAGS |= {"table", "tbody", "td", "th", "thead", "tr", "ul"}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
SCHEMES = {"http", "https", "mailto"}
REL = "noopener noreferrer nofollow"
NESTING_MAX = 20
HEADING_DOWN = 3  # a page has its own first headings
NAME = re.compile(r"(?<![\w@./+-])@([\w.@+-]{1,150})")
TRAILING = ".@+-"


def _image(self: Any, tokens: list[Token], number: int, options: Any, env: Any) -> str:
    token = tokens[number]
    return f'<a href="{escape(token.attrGet("src") or "")}">{escape(token.content or "picture")}</a>'


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


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": NESTING_MAX}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    parser.add_render_rule("text", _text)
    return parser


PARSER = _parser()


def rendered(text: str, names: Collection[str] = ()) -> SafeString:
    """`text` as HTML, each `@name` out of `names` set apart."""
    tokens = PARSER.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1:]) + HEADING_DOWN, 6)}"
    html = PARSER.renderer.render(tokens, PARSER.options, {"names": names})
    clean = nh3.clean(html, tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel=REL)
    return SafeString(clean)  # what is on the list, and nothing else


def spellings(name: str) -> list[str]:
    """What an `@name` may mean, the longest first: a full stop after a name is not of it."""
    found = [name]
    while found[-1] and found[-1][-1] in TRAILING:
        found.append(found[-1][:-1])
    return [one for one in found if one]


def named(text: str) -> list[list[str]]:
    """Each `@name` of `text`, in its order, as the spellings it may mean; names in code are none."""
    return [spellings(found[1]) for content in _texts(PARSER.parse(text)) for found in NAME.finditer(content)]


def _texts(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "text":
            yield token.content
        elif token.children and token.type != "image":
            yield from _texts(token.children)
