"""The server's application: from a request of HTTP to what answers it, and its answer.

It is plain ASGI, without a framework: what stands between the wire and a live plan is this file.
"""

from __future__ import annotations

import asyncio
import hmac
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from fastfeat.errors import FastfeatError
from fastfeat.serve.json_text import write_json
from fastfeat.serve.refusals import Refusal, refusal_of

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"
_BODY_SECONDS = 30.0
"""A body that has not arrived after so long is given up."""
_DRAIN_SECONDS = 1.0
"""So long the rest of a body is read, and forgotten, so that its sender sees the answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, read whole.

    Args:
        name: what the path names: a table, or a model.
        headers: by name, in lower case.
        query: the parameters in the address, as they stand there.
        body: what was sent.
    """

    name: str
    headers: Mapping[bytes, bytes]
    query: bytes
    body: bytes

    @property
    def content_type(self) -> str:
        """The type of the body, without parameters."""
        return (
            self.headers.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
        )

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters in the address.

        Raises:
            Refusal: one stands twice, or they are no text.
        """
        try:
            pairs = parse_qsl(self.query.decode("ascii"), True, True, errors="strict")
        except ValueError:  # bytes that are no text, too
            raise Refusal(400, "InvalidRequest", "the parameters in the address cannot be read")
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Refusal(400, "InvalidRequest", "a parameter stands twice in the address")
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Args:
        body: of the answer.
        content_type: of the body.
        headers: further ones.
        status: of HTTP.
    """

    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200


Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a path.

    Args:
        name: of it in the metrics.
        handlers: by method.
        is_open: whether it is answered without a token.
        always: whether it is answered before the server is ready.
    """

    name: str
    handlers: Mapping[str, Handler]
    is_open: bool = False
    always: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes at most.

    Args:
        body: bytes of a request.
        waiting: requests that are not answered yet; further ones are told to come again.
        waiting_bytes: of their bodies.
    """

    body: int
    waiting: int
    waiting_bytes: int


@dataclass(slots=True)
class Load:
    """What a server has taken and not answered yet.

    Args:
        requests: how many.
        n_bytes: of their bodies.
    """

    requests: int = 0
    n_bytes: int = 0


Observed = Callable[[str, int, float, str], None]
"""Is told of each answer its route, status, seconds, and the kind of its error, if any."""


@dataclass(frozen=True, slots=True)
class App:
    """The application.

    Args:
        route: finds what answers a path, and the name in it; None where nothing does.
        limits: what is taken at most.
        token: what a caller must know; None where anyone may call.
        is_ready: whether the plan is loaded.
        observed: is told of each answer.
        load: what is not answered yet.
    """

    route: Callable[[str], tuple[Route, str] | None]
    limits: Limits
    token: bytes | None
    is_ready: Callable[[], bool]
    observed: Observed
    load: Load = field(default_factory=Load)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        load = self.load
        load.requests += 1
        name, error, unread = "none", "", _Body(receive, self.limits.body, load)
        try:
            name, answer = await self._answer(scope, unread)
        except Refusal as refusal:
            name, error = refusal.route or name, refusal.kind
            answer = answer_of(refusal)
        except ConnectionResetError:
            self.observed(name, 499, time.perf_counter() - start, "Disconnected")
            return
        finally:
            load.requests -= 1
            load.n_bytes -= unread.n_bytes
        await _send(answer, unread, scope["method"] == "HEAD", send)
        self.observed(name, answer.status, time.perf_counter() - start, error)

    async def _answer(self, scope: Scope, body: _Body) -> tuple[str, Answer]:
        """Return the name of the route of a request, and its answer.

        Raises:
            Refusal: it is refused; it names the route.
        """
        found = self.route(scope["path"])
        if found is None:
            raise Refusal(404, "NotFound", "there is nothing at this address; see /openapi.json")
        route, name = found
        try:
            return route.name, await self._answer_of(route, name, scope, body)
        except Refusal as refusal:
            refusal.route = route.name
            raise
        except FastfeatError as error:
            refusal = refusal_of(error)
            if refusal.status >= 500:
                print(f"fastfeat serve: {route.name}: {error}", file=sys.stderr, flush=True)
            refusal.route = route.name
            raise refusal from None
        except ConnectionResetError:
            raise
        except Exception:  # a defect of ours: the caller hears of it, and the log says where
            traceback.print_exc()
            refusal = Refusal(
                500, "Internal", "the server failed at this request; its log says why"
            )
            refusal.route = route.name
            raise refusal from None

    async def _answer_of(self, route: Route, name: str, scope: Scope, body: _Body) -> Answer:
        method = scope["method"]
        handler = route.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(route.handlers)
            refusal = Refusal(405, "MethodNotAllowed", f"this address takes {allowed}")
            refusal.headers = ((b"allow", allowed.encode()),)
            raise refusal
        headers = dict(scope["headers"])
        if self.token is not None and not route.is_open:
            _check_token(headers, self.token)
        if not route.always:
            self._check_load()
        content = await body.read(headers) if method not in ("GET", "HEAD") else b""
        if not route.always:
            await asyncio.sleep(0)  # requests that came at once are seen before one is computed
        return await handler(Request(name, headers, scope["query_string"], content))

    def _check_load(self) -> None:
        if not self.is_ready():
            raise Refusal(503, "NotReady", "the plan is being loaded", retry_after=1)
        load, limits = self.load, self.limits
        if load.requests > limits.waiting or load.n_bytes > limits.waiting_bytes:
            raise Refusal(
                429,
                "Overloaded",
                f"{load.requests - 1} requests wait for an answer. Come again later",
                retry_after=1,
            )


class _Body:
    """The body of a request, which is read up to a limit."""

    def __init__(self, receive: Receive, most: int, load: Load) -> None:
        self._receive = receive
        self._most = most
        self._load = load
        self.n_bytes = 0
        self._ended = False

    async def read(self, headers: Mapping[bytes, bytes]) -> bytes:
        """Return it.

        Raises:
            Refusal: it is larger than the limit, or does not come.
            ConnectionResetError: the caller went away.
        """
        announced = headers.get(b"content-length")
        if announced is not None and int(announced) > self._most:
            raise self._too_large()
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return self._taken(message)  # whole already, as nearly always
        parts = [self._taken(message)]
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while not self._ended:
                    parts.append(self._taken(await self._receive()))
        except TimeoutError:
            raise Refusal(
                408, "BodyTooSlow", f"the body did not arrive within {_BODY_SECONDS:g} seconds"
            ) from None
        return b"".join(parts)

    def _taken(self, message: dict[str, Any]) -> bytes:
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        part: bytes = message.get("body", b"")
        self._ended = not message.get("more_body")
        self.n_bytes += len(part)
        self._load.n_bytes += len(part)
        if self.n_bytes > self._most:
            raise self._too_large()
        return part

    async def drain(self) -> None:
        """Read what is left of it, for a while, and forget it."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while not self._ended:
                    message = await self._receive()
                    self._ended = not message.get("more_body")
        except TimeoutError:
            pass

    def _too_large(self) -> Refusal:
        refusal = Refusal(413, "BodyTooLarge", f"the body has more than {self._most:,} bytes")
        refusal.closes = True
        return refusal


def _check_token(headers: Mapping[bytes, bytes], token: bytes) -> None:
    kind, _, given = headers.get(b"authorization", b"").partition(b" ")
    # the digest of each is compared: how long that takes tells nothing of the token
    is_right = hmac.compare_digest(_digest(given.strip()), _digest(token))
    if kind.lower() != b"bearer" or not is_right:
        refusal = Refusal(401, "Unauthorized", "say who you are: Authorization: Bearer TOKEN")
        refusal.headers = ((b"www-authenticate", b"Bearer"),)
        raise refusal


def _digest(text: bytes) -> bytes:
    return hmac.digest(b"fastfeat", text, "sha256")


def answer_of(refusal: Refusal) -> Answer:
    """Return the answer that tells of a refusal."""
    headers = refusal.headers
    if refusal.retry_after is not None:
        headers += ((b"retry-after", str(refusal.retry_after).encode()),)
    if refusal.closes:
        headers += ((b"connection", b"close"),)
    return Answer(write_json(refusal.document), JSON, headers, refusal.status)


async def _send(answer: Answer, body: _Body, head_only: bool, send: Send) -> None:
    closes = (b"connection", b"close") in answer.headers
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.content_type),
                (b"content-length", str(len(answer.body)).encode()),
                *answer.headers,
            ],
        }
    )
    content = b"" if head_only else answer.body
    if closes:  # while its body still comes: closed at once, its sender would not read the answer
        await send({"type": "http.response.body", "body": content, "more_body": True})
        await body.drain()
        content = b""
    await send({"type": "http.response.body", "body": content})
