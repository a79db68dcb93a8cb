"""Markdown of strangers is shown, and does nothing."""

import re

import pytest

from mlorch_site.lib.markdown import TEXT_MAX_CHARS, render

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt&colon;alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "![x](https://elsewhere.example/pixel.png)",
    '[x](https://a.example "\\" onmouseover=\\"alert(1)")',
    "<javascript:alert(1)>",
    "`<script>`",
    "```<script>\n<script>alert(1)</script>\n```",
    "<style>body{display:none}</style>",
    '<form action="/logout/"><button>Save</button></form>',
    "<a href='#' class='btn' id='approve' style='position:fixed'>Approve</a>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "| <script> |\n| - |\n| <iframe src=x> |",
]
LIVE = re.compile(r"<(?!/?(?:p|br|hr|strong|em|s|code|pre|blockquote|ul|ol|li|a|h[3-6]|table|thead|tbody|tr|th|td)\b)")


def test_render__ordinary_markdown__is_html_below_the_pages_headings() -> None:
    html = render("# Use\n\nFor *adults* only.\n\n- one\n- two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n###### Deep")

    assert "<h3>Use</h3>" in html
    assert "<em>adults</em>" in html
    assert "<li>two</li>" in html
    assert re.search('<table [^>]*class="table table-sm"', html)
    assert re.search('<table [^>]*tabindex="0"', html)
    assert "<h6>Deep</h6>" in html


@pytest.mark.parametrize("text", HOSTILE)
def test_render__hostile_markdown__has_nothing_that_runs_or_loads(text: str) -> None:
    html = render(text)

    assert not LIVE.search(html)
    tags = re.findall(r"<[^>]+>", html)
    attributes = {name for tag in tags for name in re.findall(r'\s([\w-]+)="', tag)}
    assert attributes <= {"href", "title", "rel", "tabindex", "class", "start"}
    assert all(re.match(r"https?:|mailto:|/|#", target) for target in re.findall(r'href="([^"]*)"', html))


def test_render__link__says_nothing_of_where_it_was_followed_from() -> None:
    assert render("[x](https://a.example)") == (
        '<p><a href="https://a.example" rel="noopener noreferrer nofollow">x</a></p>\n'
    )


@pytest.mark.parametrize("piece", ["[", "![", "*a", "`", ">", "- ", "[a](b", "<", "|-"])
def test_render__markers_without_end__end_as_text(piece: str) -> None:
    assert render((piece * 20_000)[:20_000])


def test_render__too_long__is_shown_as_written() -> None:
    html = render("# a <b>\n" * TEXT_MAX_CHARS)

    assert html.startswith('<pre tabindex="0"># a &lt;b&gt;')
