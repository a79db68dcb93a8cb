"""What the gRPC port has to know of HTTP/2 (RFC 9113): where frames begin, and which calls are open.

Nothing is decoded or held back.
"""

from collections.abc import Callable

HEAD_BYTES = 9
PREFACE_BYTES = 24  # what a client says before its first frame (section 3.4)
DATA, HEADERS, RST_STREAM, PUSH_PROMISE, CONTINUATION = 0, 1, 3, 5, 9
END_STREAM, END_HEADERS = 1, 4
STREAM_MAX = 2**31 - 1


def goaway(last_stream: int) -> bytes:
    """The frame that says: open no more calls here, nothing beyond `last_stream` is looked at (section 6.8)."""
    head = b"\0\0\x08\x07\0\0\0\0\0"  # length 8, type GOAWAY, no flags, stream 0
    return head + last_stream.to_bytes(4, "big") + b"\0\0\0\0"  # no error


class Http2Frames:
    """Tells the frames of one side apart.

    `began` is called with type, flags and stream of each; `preface_bytes` come before the first.
    """

    def __init__(self, began: Callable[[int, int, int], None], preface_bytes: int = 0) -> None:
        self._began = began
        self._head = b""
        self._left = preface_bytes
        self._has_begun = False
        self._is_in_headers = False

    @property
    def is_between(self) -> bool:
        """Whether a frame may be put in now: after the first frame, and not within a block of headers."""
        return self._has_begun and not self._left and not self._head and not self._is_in_headers

    def feed(self, data: bytes) -> int:
        """Take the next bytes; return the last place in them where a frame may be put in, -1 when there is none."""
        at, found = 0, -1
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            else:
                part = data[at : at + HEAD_BYTES - len(self._head)]
                at += len(part)
                self._begin(self._head + part)
            if self.is_between:
                found = at
        return found

    def _begin(self, head: bytes) -> None:
        """Begin the next frame once its head is whole."""
        self._head = head
        if len(head) < HEAD_BYTES:
            return
        self._head = b""
        self._left = int.from_bytes(head[:3], "big")
        self._has_begun = True
        kind, flags = head[3], head[4]
        if kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
            self._is_in_headers = not flags & END_HEADERS
        self._began(kind, flags, int.from_bytes(head[5:], "big") & STREAM_MAX)


class OpenCalls:
    """The open calls of one connection.

    The client opens one by its headers; it is over when the server has ended it or one of the two has reset it.
    """

    def __init__(self) -> None:
        self.newest = 0
        self._open: set[int] = set()

    @property
    def are_open(self) -> bool:
        return bool(self._open)

    def client_began(self, kind: int, flags: int, stream: int) -> None:
        """Take the head of a client's frame."""
        if kind == HEADERS and stream > self.newest:
            self.newest = stream
            self._open.add(stream)
        elif kind == RST_STREAM:
            self._open.discard(stream)

    def server_began(self, kind: int, flags: int, stream: int) -> None:
        """Take the head of a server's frame."""
        if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self._open.discard(stream)
