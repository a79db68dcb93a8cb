"""What the gateway relies on of uvicorn beyond its documentation: the one list, and whether it still holds.

It fails when uvicorn takes one of these names away or uses it otherwise, and when the gateway uses one that is not
listed.
"""

import ast
import asyncio
import inspect
import textwrap
from collections import deque
from typing import Any, NamedTuple

import httptools
import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from dataplane.gateway.http.connection import Connection, Exchange
from dataplane.gateway.http.http_server import Server


class Attribute(NamedTuple):
    """An attribute of the base: what it holds, what is used of that, and which method of the base sets it."""

    kind: type
    members: tuple[str, ...] = ()
    set_in: str = "__init__"


class Base(NamedTuple):
    """A class of uvicorn's that one of the gateway's extends.

    `methods` are those called or replaced, with their parameters.

    `statements` are what the gateway's methods rely on within a method of the base.
    """

    theirs: type
    ours: type
    attributes: dict[str, Attribute]
    methods: dict[str, tuple[str, ...]]
    statements: dict[str, tuple[str, ...]]


CONNECTION = Base(
    HttpToolsProtocol,
    Connection,
    {
        "loop": Attribute(asyncio.AbstractEventLoop, ("time", "call_later")),
        "transport": Attribute(asyncio.Transport, ("write", "close", "is_closing", "get_extra_info")),
        "parser": Attribute(httptools.HttpRequestParser, ("get_method", "get_http_version", "should_keep_alive")),
        "flow": Attribute(FlowControl, ("write_paused", "resume_reading")),
        "server_state": Attribute(ServerState, ("default_headers", "total_requests")),
        "pipeline": Attribute(deque, ("pop",)),
        "cycle": Attribute(RequestResponseCycle, ("response_complete", "response_started", "keep_alive")),
        "headers": Attribute(list, ("extend",)),
        "scope": Attribute(dict),
        "url": Attribute(bytes, set_in="on_message_begin"),
        "expect_100_continue": Attribute(bool),
    },
    {
        "connection_made": ("transport",),
        "connection_lost": ("exc",),
        "data_received": ("data",),
        "shutdown": (),
        "on_message_begin": (),
        "on_headers_complete": (),
        "on_body": ("body",),
        "on_message_complete": (),
        "on_response_complete": (),
        "_start_asgi_task": ("cycle", "app"),
        "_unset_keepalive_if_required": (),
    },
    {
        "connection_lost": ("self.connections.discard(self)",),
        # A new request begins with these; the scope has the very list that later headers come into.
        "on_message_begin": ("self.url = b''", "self.expect_100_continue = False", "'headers': self.headers"),
        "on_headers_complete": (
            "on_response=self.on_response_complete",
            "if existing_cycle is None or existing_cycle.response_complete",
            "self.pipeline.appendleft((self.cycle, app))",
        ),
        "on_header": ("name = name.lower()", "self.headers.append((name, value))"),
        "on_url": ("self.url += url",),
    },
)
SERVER = Base(
    uvicorn.Server,
    Server,
    {
        "server_state": Attribute(ServerState, ("connections", "tasks")),
        "should_exit": Attribute(bool),
        "servers": Attribute(list, set_in="startup"),
    },
    {"capture_signals": (), "startup": ("sockets",), "shutdown": ("sockets",), "on_tick": ("counter",)},
    {
        "_serve": ("await self.startup(sockets=sockets)", "await self.shutdown(sockets=sockets)"),
        "serve": ("with self.capture_signals()",),
        "startup": ("config.http_protocol_class(config=config", "app_state=self.lifespan.state"),
        "on_tick": ("self.server_state.default_headers =", "if self.should_exit"),
    },
)
BASES = [pytest.param(CONNECTION, id="connection"), pytest.param(SERVER, id="server")]
# What each method of uvicorn's connection uses of the request it calls `cycle`: an express exchange stands there too.
CYCLE_USED_IN = {
    "connection_lost": {"response_complete", "disconnected", "message_event"},
    "on_headers_complete": {"response_complete"},
    "on_body": {"response_complete", "body", "message_event"},
    "on_message_complete": {"response_complete", "more_body", "message_event"},
    "shutdown": {"response_complete", "keep_alive"},
}
NOT_CALLED_WITH_AN_EXCHANGE = {"on_body", "on_message_complete", "shutdown"}


def tree(thing: Any) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def used_of(node: ast.AST, owner: str) -> set[str]:
    """The attributes of an expression that some code uses: `used_of(…, "self")` are those of `self`."""
    return {
        part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute) and ast.unparse(part.value) == owner
    }


def set_by(method: Any) -> set[str]:
    """The attributes of `self` that a method binds."""
    return {
        part.attr
        for part in ast.walk(tree(method))
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and ast.unparse(part.value) == "self"
    }


def own(base: Base) -> set[str]:
    """The names that only the gateway's class has."""
    theirs = set(dir(base.theirs)) | set(base.attributes)
    return (set(vars(base.ours)) | set_by(base.ours.__init__)) - theirs


@pytest.mark.parametrize("base", BASES)
def test_gateway__what_it_uses_of_the_base__is_listed_and_nothing_else_is(base: Base) -> None:
    source = tree(base.ours)
    replaced = {name for name in vars(base.ours) if name in vars(base.theirs) and not name.startswith("__")}
    used = (used_of(source, "self") | used_of(source, "super()") | replaced) - own(base) - {"__init__"}

    assert used == base.attributes.keys() | base.methods.keys()


@pytest.mark.parametrize("base", BASES)
def test_gateway__what_it_uses_of_the_bases_attributes__is_listed(base: Base) -> None:
    source = tree(base.ours)
    wrong = {name: used_of(source, f"self.{name}") - set(part.members) for name, part in base.attributes.items()}

    assert {name: members for name, members in wrong.items() if members} == {}


@pytest.mark.parametrize("base", BASES)
def test_uvicorn__listed_attributes__are_set_and_have_their_members(base: Base) -> None:
    for name, attribute in base.attributes.items():
        assert name in set_by(getattr(base.theirs, attribute.set_in)), name
        has = set(dir(attribute.kind))
        if attribute.kind.__module__.startswith("uvicorn"):
            has |= set_by(attribute.kind.__init__)
        assert set(attribute.members) <= has, name


@pytest.mark.parametrize("base", BASES)
def test_uvicorn__listed_methods__take_what_they_took(base: Base) -> None:
    found = {
        name: tuple(inspect.signature(getattr(base.theirs, name)).parameters)[1:]  # without `self`
        for name in base.methods
    }
    assert found == base.methods


@pytest.mark.parametrize("base", BASES)
def test_uvicorn__listed_statements__stand_where_they_stood(base: Base) -> None:
    missing = [
        f"{name}: {statement}"
        for name, statements in base.statements.items()
        for statement in statements
        if statement not in ast.unparse(tree(getattr(base.theirs, name)))
    ]
    assert missing == []


def test_uvicorn__request_of_a_connection__is_used_as_listed_and_an_exchange_has_that() -> None:
    methods = {name: method for name, method in vars(HttpToolsProtocol).items() if inspect.isfunction(method)}
    used = {
        name: used_of(tree(method), "self.cycle") | used_of(tree(method), "existing_cycle")
        for name, method in methods.items()
    }
    needed = set[str]().union(*(CYCLE_USED_IN[name] for name in CYCLE_USED_IN.keys() - NOT_CALLED_WITH_AN_EXCHANGE))

    assert {name: names for name, names in used.items() if names} == CYCLE_USED_IN
    assert needed <= set(dir(Exchange)) | set_by(Exchange.__init__)
