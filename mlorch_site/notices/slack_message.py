"""What is told, as a message that Slack's incoming webhooks take, and what else reads their format.

Source: Slack's reference of incoming webhooks and of Block Kit: `text` is the fallback, `blocks` what is shown; in both
`&`, `<` and `>` are escaped, so that nobody's words become a link or call a whole channel.
"""

from typing import Any

from mlorch_site.notices.mail import address_of, one_line

SECTION_MAX_CHARS = 3000
TEXT_MAX_CHARS = 1000
ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def slack_message(*, label: str, title: str, sentence: str, place: str, path: str) -> dict[str, Any]:
    """The message: a bold title with a link to the page, the sentence, and below what and where it is."""
    link = f"<{escaped(address_of(path), SECTION_MAX_CHARS)}|Open in mlorch>"
    about = " · ".join(part for part in (escaped(label, TEXT_MAX_CHARS), escaped(place, TEXT_MAX_CHARS), link) if part)
    shown = f"*{escaped(title, TEXT_MAX_CHARS)}*\n{escaped(sentence, TEXT_MAX_CHARS)}"
    return {
        "text": escaped(f"{label}: {title}: {sentence}", TEXT_MAX_CHARS),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": shown}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": about}]},
        ],
    }


def escaped(text: str, most: int) -> str:
    """The text on one line with what Slack would read as markup escaped, cut so that no escape is torn."""
    found: list[str] = []
    length = 0
    for letter in one_line(text):
        written = ESCAPES.get(letter, letter)
        length += len(written)
        if length > most - 1:
            return "".join(found) + "…"
        found.append(written)
    return "".join(found)
