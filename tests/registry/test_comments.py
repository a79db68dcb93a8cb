"""What people say about a request: who may, what becomes of hostile Markdown, and who is told."""

from datetime import timedelta
from html.parser import HTMLParser

import pytest
import time_machine

from mlorch_site.accounts.actor import Actor
from mlorch_site.accounts.models import RoleBinding
from mlorch_site.audit.models import AuditRecord
from mlorch_site.lib.errors import Conflict, Forbidden, Invalid, NotFound
from mlorch_site.lib.markdown import TAGS, named, render
from mlorch_site.live.models import Event
from registry.approvals.comments import comment_add, comment_edit, mention_done, thread_of
from registry.approvals.mentions import mentions_waiting
from registry.approvals.services import approval_decide, approval_open, approval_withdraw
from registry.models import ApprovalRequest, Comment
from registry.selectors import current_policy
from registry.services import environment_create

ENGINE = Actor.controller("test")


@pytest.fixture
def request_row(people) -> ApprovalRequest:
    rules = [{"role": "reviewer", "count": 1}]
    environment = environment_create(actor=ENGINE, name="production", position=0, approval_rules=rules)
    return approval_open(
        actor=ENGINE,
        subject_kind="release",
        subject_id="r1",
        title="tumours version 2 to production/clinic",
        url="/",
        content={"plan": "a"},
        policy=current_policy(environment),
        scopes=["environment:production", "model:tumours"],
        requester=people.emma.user,
        excluded=[],
    )


def say(request, person, text, parent=None) -> Comment:
    return comment_add(actor=person.actor, request=request, text=text, parent=parent).comment


def told() -> list[int]:
    return list(Event.objects.filter(kind="approval.mentioned").order_by("pk").values_list("data__person", flat=True))


def waits_for(person) -> list[int]:
    return list(mentions_waiting(person.actor).values_list("comment", flat=True))


def test_comment__with_names__waits_for_those_who_may_see_it_and_says_whom_it_told_nobody_of(request_row, people):
    written = comment_add(
        actor=people.emma.actor, request=request_row, text="@rita, @max and @nobody: look. `@oscar` @emma"
    )
    assert written.unknown == ["max", "nobody"], "max holds a role for staging only"
    assert (waits_for(people.rita), waits_for(people.oscar), waits_for(people.emma)) == ([written.comment.pk], [], [])
    assert told() == [people.rita.user.pk]
    record = AuditRecord.objects.get(action="approval.commented")
    assert record.data["comment"] == written.comment.pk
    assert "look" not in str(record.data)


def test_mention__done_by_an_answer_a_decision_or_by_hand(request_row, people):
    for settle in (
        lambda: say(request_row, people.rita, "thanks"),
        lambda: approval_decide(
            actor=people.rita.actor, request=request_row, kind="request_changes", comment="show recall"
        ),
        lambda: mention_done(actor=people.rita.actor, request=request_row),
    ):
        say(request_row, people.emma, f"@rita {Comment.objects.count()}")
        assert len(waits_for(people.rita)) == 1
        settle()
        assert waits_for(people.rita) == []


def test_mention__of_somebody_who_lost_sight_of_it__does_not_wait_for_them(request_row, people):
    say(request_row, people.emma, "@rita")
    RoleBinding.objects.filter(user=people.rita.user).update(scope="environment:staging")
    people.rita.actor = Actor("person", "rita", people.rita.user, frozenset({("reviewer", "environment:staging")}))
    assert waits_for(people.rita) == []


def test_comment__same_within_a_minute__is_once_and_after_the_end_still_possible(request_row, people):
    assert say(request_row, people.vik, "hm") == say(request_row, people.vik, "hm")
    approval_withdraw(actor=people.emma.actor, request=request_row, reason="no")
    assert say(request_row, people.vik, "a pity").request.status == "withdrawn"


def test_reply__stands_one_level_deep__and_under_the_same_request(request_row, people):
    first = say(request_row, people.vik, "why?")
    reply = say(request_row, people.emma, "because", first.pk)
    deeper = say(request_row, people.rita, "really?", reply.pk)
    assert (reply.parent, deeper.parent) == (first, first)
    (thread,) = thread_of(request_row, people.vik.actor)
    assert [said.comment for said in thread.replies] == [reply, deeper]
    other = ApprovalRequest.objects.get()
    other.pk, other.subject_id = None, "r2"
    other.save(force_insert=True)
    with pytest.raises(NotFound):
        say(other, people.emma, "elsewhere", first.pk)


def test_edit__own_within_a_quarter_of_an_hour__history_kept_and_names_told_once(request_row, people):
    comment = say(request_row, people.emma, "@rita and @oscar")
    with pytest.raises(Forbidden):
        comment_edit(actor=people.rita.actor, comment=comment, text="mine")
    comment_edit(actor=people.emma.actor, comment=comment, text="@rita and @mona")
    comment_edit(actor=people.emma.actor, comment=comment, text="@rita and @mona")
    assert told() == [people.rita.user.pk, people.oscar.user.pk, people.mona.user.pk]
    assert (waits_for(people.oscar), len(waits_for(people.mona))) == ([], 1)
    (said,) = thread_of(request_row, people.emma.actor)
    assert [edit.text for edit in said.edits] == ["@rita and @oscar"]
    assert said.why_not_edit == ""
    with time_machine.travel(comment.at + timedelta(minutes=15), tick=False), pytest.raises(Conflict, match="15 min"):
        comment_edit(actor=people.emma.actor, comment=comment, text="too late")


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 10_001, "a\x00b", "\ud800"])
def test_comment__nothing_too_much_or_unreadable__invalid_at_its_field(request_row, people, text):
    with pytest.raises(Invalid) as error:
        say(request_row, people.vik, text)
    assert list(error.value.details) == ["text"]


def test_comment__by_a_token_that_reads_or_by_nobody__forbidden(request_row, people):
    reader = Actor("token", "vik", people.vik.user, people.vik.actor.bindings, token_scopes=frozenset({"read"}))
    for actor in (reader, Actor.anonymous(), ENGINE):
        with pytest.raises(Forbidden):
            comment_add(actor=actor, request=request_row, text="hello")


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "[a](vbscript:x)",
    "<javascript:alert(1)>",
    "![x](https://evil.example/pixel.png)",
    '![x](https://evil.example/p.png "onload=alert(1)")',
    '[a](https://good.example "onmouseover=alert(1)")',
    "<a href='x' style='position:fixed'>b</a>",
    "<svg><style>*{x}</style></svg>",
    "[a][b]\n\n[b]: javascript:alert(1)",
    '"><iframe src=//evil.example>',
    "`<script>`",
    "<!-- --!><form action=//evil.example>",
    "@<b>rita</b>",
]


class Seen(HTMLParser):
    """The tags and attributes that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_markdown__hostile__nothing_runs_and_nothing_is_fetched():
    for text in HOSTILE:
        seen = Seen(render(text, names={"rita"}))
        assert seen.tags <= TAGS, text
        assert seen.attributes <= {"href", "title", "rel", "class", "tabindex"}, text
        assert all(link.startswith("https://") for link in seen.links), text


def test_markdown__what_people_write__is_shown_and_links_leave_no_trace():
    html = render(
        "# Big\n\n**bold** [paper](https://a.example/x) ![plot](https://a.example/p.png)\n\n- one\n\n|a|\n|-|\n|1|",
        heading_first=4,
    )
    assert "<h4>Big</h4>" in html
    assert '<a href="https://a.example/x" rel="noopener noreferrer nofollow">paper</a>' in html
    assert '<a href="https://a.example/p.png" rel="noopener noreferrer nofollow">plot</a>' in html
    assert "<strong>bold</strong>" in html
    assert "<li>one</li>" in html
    assert "<td>1</td>" in html


def test_markdown__deep_nesting__ends_quickly():
    assert render(">" * 5000 + "[" * 2000)
    assert render("*a " * 3000)


def test_named__full_stops_addresses_and_code__are_told_apart():
    assert named("@rita. (@bob-) mail@x.org `@code` **@eve**\n\n    @block") == [
        ["rita.", "rita"],
        ["bob-", "bob"],
        ["eve"],
    ]
    assert render("@rita. @ritalin", names={"rita"}) == "<p><strong>@rita</strong>. @ritalin</p>\n"
