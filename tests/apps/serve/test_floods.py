"""Floods of callers: heads, trailers and bodies take bounded memory, which is given back."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fastfeat_tests.apps.serve.served_plan import Files, Server, server
from fastfeat_tests.patience import PATIENCE_S, until

MAX_BODY = 1 << 20
MOST_WAITING = 8 * MAX_BODY
A_CONNECTION = 100 << 10
"""Bytes that a connection takes beside its body: objects, and what is read at once."""
HEAD = b"POST /v1/features HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
TOKEN = b"authorization: Bearer secret\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"


@pytest.fixture(scope="module")
def flooded(files: Files) -> Iterator[Server]:
    with server(**files.options, token="secret", max_body=MAX_BODY) as found:
        found.wait_for("ready with")
        yield found


def resident(found: Server) -> int:
    """Return how many bytes of memory the process of a server has now."""
    status = Path(f"/proc/{found.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) << 10


def flood(found: Server, begin: bytes, more: bytes, most: int) -> bytes:
    """Return the answer of a server that closes the connection, whatever is sent on.

    Args:
        found: the server.
        begin: what is sent first.
        more: what is sent again and again after it.
        most: so many bytes are sent.
    """
    answer = b""
    with socket.create_connection(("127.0.0.1", found.port), PATIENCE_S) as caller:
        try:
            caller.sendall(begin)
            for _ in range(most // len(more)):
                caller.sendall(more)
            while part := caller.recv(1 << 16):
                answer += part
        except ConnectionError:  # it was closed while we wrote
            pass
    return answer


@pytest.mark.parametrize("token", [b"", TOKEN])
@pytest.mark.parametrize("line", [b"a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 200, b"b" * 8_000])
def test_trailers_are_bounded_as_heads_are(flooded: Server, token: bytes, line: bytes) -> None:
    before = resident(flooded)
    answer = flood(flooded, HEAD + token + CHUNKED + b"a: ", line, 8 << 20)
    assert not answer or answer[9:12] in (b"401", b"431")
    assert resident(flooded) - before < 4 << 20


def test_trailers_that_are_few_are_read(flooded: Server) -> None:
    body = b'{"rows":[]}'
    chunk = b"%x\r\n%b\r\n0\r\na: b\r\nc: d\r\n\r\n" % (len(body), body)
    last = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = flooded.raw(HEAD + TOKEN + b"transfer-encoding: chunked\r\n\r\n" + chunk + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


def test_many_requests_that_come_at_once_and_end_inside_a_head_are_answered(
    flooded: Server,
) -> None:
    one = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    n = (200 << 10) // len(one)
    last = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = b""
    with socket.create_connection(("127.0.0.1", flooded.port), PATIENCE_S) as caller:
        caller.sendall(one * n + last[:20])
        while answer.count(b"HTTP/1.1 200 OK") < n:
            part = caller.recv(1 << 16)
            assert part, answer[-300:]
            answer += part
        caller.sendall(last[20:])
        while part := caller.recv(1 << 16):
            answer += part
    assert answer.count(b"HTTP/1.1 200 OK") == n + 1


def test_a_caller_without_the_token_does_not_go_on_sending(flooded: Server) -> None:
    begin = HEAD + b"content-length: %d\r\n\r\n" % (MAX_BODY - 1)
    with socket.create_connection(("127.0.0.1", flooded.port), PATIENCE_S) as caller:
        caller.sendall(begin + b"{")
        answer = b""
        while part := caller.recv(1 << 16):  # it is closed, though the body never comes
            answer += part
    assert b" 401 " in answer[:20]
    assert b"connection: close" in answer
    small = HEAD + b"content-length: 2\r\n\r\n{}"
    last = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    answer = flooded.raw(small + last)  # a small body is there: the connection is of use
    assert b" 401 " in answer[:20]
    assert b"HTTP/1.1 200 OK" in answer


@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_of_all_connections_together_stay_below_their_bound(
    flooded: Server, is_chunked: bool
) -> None:
    n, part = 300, b" " * (32 << 10)
    size = MAX_BODY - len(part)
    begin = HEAD + TOKEN + b"content-length: %d\r\n\r\n" % MAX_BODY
    if is_chunked:
        begin = HEAD + TOKEN + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % MAX_BODY
    before = most = resident(flooded)
    statuses: list[bytes] = []
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(n):
            caller = socket.create_connection(("127.0.0.1", flooded.port), PATIENCE_S)
            stack.enter_context(caller)
            caller.sendall(begin)
            caller.setblocking(False)
            selector.register(caller, selectors.EVENT_READ | selectors.EVENT_WRITE, size)
        while _may_go_on(selector):
            for key, events in selector.select(PATIENCE_S):
                caller, left = key.fileobj, key.data
                assert isinstance(caller, socket.socket)
                try:
                    if events & selectors.EVENT_READ:
                        statuses.append(caller.recv(1 << 16)[9:12])
                        selector.unregister(caller)
                        continue
                    left -= caller.send(part)
                except BlockingIOError:
                    continue
                except ConnectionError:
                    selector.unregister(caller)
                    continue
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if left > 0 else 0)
                selector.modify(caller, wanted, left)
            most = max(most, resident(flooded))
    assert statuses.count(b"429") >= n // 2, statuses
    assert most - before < MOST_WAITING + n * A_CONNECTION
    until(lambda: resident(flooded) - before <= MOST_WAITING)  # memory is given back


def _may_go_on(selector: selectors.BaseSelector) -> bool:
    """Return whether bodies are sent, or refused, still: eight that never end are taken."""
    lefts = [key.data for key in selector.get_map().values()]
    return len(lefts) > MOST_WAITING // MAX_BODY or any(left > 0 for left in lefts)
