"""The server's application: from a request of HTTP to what answers it, and its answer.

It is plain ASGI, without a framework: what stands between the wire and a live plan is this file.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastfeat.apps.serve.json_text import write_json
from fastfeat.apps.serve.refusals import Refusal, refusal_of

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"
_CLOSES = (b"connection", b"close")
_GONE = 499
"""The status under which a request is counted whose caller went away."""
_BODY_SECONDS = 30.0
"""A body that has not arrived after so long is given up."""
_DRAIN_SECONDS = 1.0
"""So long the rest of a body is read, and forgotten, so that its sender sees the answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request, read whole.

    Args:
        name: what the path names: a table, or a model.
        content_type: of the body, without parameters.
        headers: by name, in lower case.
        query: the parameters in the address, as they stand there.
        body: what was sent.
    """

    name: str
    content_type: str
    headers: Mapping[bytes, bytes]
    query: bytes
    body: bytes

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters in the address.

        Raises:
            Refusal: one stands twice, or they are no text.
        """
        try:
            pairs = parse_qsl(self.query.decode("ascii"), True, True, errors="strict")
        except ValueError:  # bytes that are no text, too
            told = "the parameters in the address cannot be read"
            raise Refusal(400, "InvalidRequest", told) from None
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Refusal(400, "InvalidRequest", "a parameter stands twice in the address")
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request.

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
    """The handlers of a path.

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
    """The most that a server takes.

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
    """The requests that a server has taken and not answered yet.

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
        released: is told how many bytes of a body are needed no more.
        lifespan: begins with the server, and ends with it.
    """

    route: Callable[[str], tuple[Route, str] | None]
    limits: Limits
    token: bytes | None
    is_ready: Callable[[], bool]
    observed: Observed
    load: Load
    released: Callable[[int], None]
    lifespan: Callable[[Receive, Send], Awaitable[None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or begin and end with the server."""
        if scope["type"] != "http":
            await self.lifespan(receive, send)
            return
        start = time.perf_counter()
        found = self.route(scope["path"])
        name = "none" if found is None else found[0].name
        body, error = Body(receive, dict(scope["headers"]), self.limits, self.load), ""
        try:
            if found is None:
                raise Refusal(
                    404, "NotFound", "there is nothing at this address. See /openapi.json"
                )
            answer = await self._answer(*found, scope, body)
        except ConnectionResetError:
            self.observed(name, _GONE, time.perf_counter() - start, "Disconnected")
            return
        except Exception as raised:  # a defect of ours is told too, and the log says where
            answer, error = _refused(raised, name)
        finally:
            self.load.n_bytes -= body.n_bytes
            self.released(body.n_bytes)
        await _send(answer, body, scope["method"] == "HEAD", send)
        self.observed(name, answer.status, time.perf_counter() - start, error)

    async def _answer(self, route: Route, name: str, scope: Scope, body: Body) -> Answer:
        """Return the answer of a route.

        Raises:
            Refusal: the request is refused.
            ConnectionResetError: the caller went away.
        """
        method = scope["method"]
        handler = route.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(route.handlers)
            headers = ((b"allow", allowed.encode()),)
            raise Refusal(405, "MethodNotAllowed", f"this address takes {allowed}", headers=headers)
        headers = body.headers
        if self.token is not None and not route.is_open:
            check_token(headers.get(b"authorization", b""), self.token)
        if route.always:
            content = await body.read() if method == "POST" else b""
            return await handler(_request(name, headers, scope, content))
        if not self.is_ready():
            raise Refusal(503, "NotReady", "the plan is being loaded", retry_after=1)
        load = self.load
        check_load(load, self.limits)
        content = await body.read() if method == "POST" else b""
        check_load(load, self.limits)  # others have come meanwhile
        load.requests += 1
        try:
            await asyncio.sleep(0)  # requests that came at once are seen before one is computed
            return await handler(_request(name, headers, scope, content))
        finally:
            load.requests -= 1


def _request(name: str, headers: Mapping[bytes, bytes], scope: Scope, content: bytes) -> Request:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    return Request(name, kind, headers, scope["query_string"], content)


def check_load(load: Load, limits: Limits) -> None:
    """Raise where more is waited for than can be.

    Raises:
        Refusal: it is: come again.
    """
    if load.requests >= limits.waiting or load.n_bytes > limits.waiting_bytes:
        raise Refusal(
            429,
            "Overloaded",
            f"{load.requests} requests wait for an answer. Come again later",
            retry_after=1,
        )


class Body:
    """The body of a request, which is read up to a limit.

    Args:
        receive: gives its parts.
        headers: of the request, by name, in lower case.
        limits: what is taken at most, of one body and of all together.
        load: counts the bytes of all bodies: those that are announced, or have come.
    """

    def __init__(
        self, receive: Receive, headers: Mapping[bytes, bytes], limits: Limits, load: Load
    ) -> None:
        self.headers = headers
        self.n_bytes = 0
        """Bytes of it that are counted in the load."""
        self._receive = receive
        self._limits = limits
        self._load = load
        self._n_taken = 0
        self._ended = False

    @property
    def is_left(self) -> bool:
        """Whether some of it may come still, which nobody reads."""
        announced = self.headers.get(b"content-length", b"0") != b"0"
        return not self._ended and (announced or b"transfer-encoding" in self.headers)

    async def read(self) -> bytes:
        """Return it.

        Raises:
            Refusal: it is larger than the limit, or all bodies together are, or it does not come.
            ConnectionResetError: the caller went away.
        """
        self._count(int(self.headers.get(b"content-length", 0)))
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while not self._ended:
                    parts.append(self._taken(await self._receive()))
        except TimeoutError:
            told = f"the body did not arrive within {_BODY_SECONDS:g} seconds"
            raise Refusal(408, "BodyTooSlow", told) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _taken(self, message: dict[str, Any]) -> bytes:
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        part: bytes = message.get("body", b"")
        self._ended = not message.get("more_body")
        self._n_taken += len(part)
        self._count(self._n_taken)
        return part

    def _count(self, n_bytes: int) -> None:
        """Have so many bytes of it counted, where that is more than are counted already.

        Raises:
            Refusal: it has too many, or all bodies together do: the newest is refused.
        """
        if n_bytes > self._limits.body:
            told = f"the body has more than {self._limits.body:,} bytes"
            raise Refusal(413, "BodyTooLarge", told)
        more = max(0, n_bytes - self.n_bytes)
        if self._load.n_bytes + more > self._limits.waiting_bytes:
            told = (
                f"the bodies of all requests that wait have {self._limits.waiting_bytes:,} bytes, "
                "and no more are taken. Come again later"
            )
            raise Refusal(429, "Overloaded", told, retry_after=1)
        self.n_bytes += more
        self._load.n_bytes += more

    async def drain(self, seconds: float) -> None:
        """Read what is left of it, for a while, and forget it.

        Args:
            seconds: 0 for what is there, without a wait.
        """
        try:
            async with asyncio.timeout(seconds):
                while not self._ended:
                    message = await self._receive()
                    self._ended = not message.get("more_body")
        except TimeoutError:
            pass


def check_token(given: bytes, token: bytes) -> None:
    """Raise where a caller does not know a token.

    Args:
        given: the header `authorization` of his call.
        token: what he must know.

    Raises:
        Refusal: he does not.
    """
    kind, _, told = given.partition(b" ")
    # digests are compared: how long it takes tells nothing of the token, nor of its length
    is_right = hmac.compare_digest(*(hmac.digest(b"-", t, "sha256") for t in (told.strip(), token)))
    if kind.lower() != b"bearer" or not is_right:
        raise Refusal(
            401,
            "Unauthorized",
            "say who you are: Authorization: Bearer TOKEN",
            headers=((b"www-authenticate", b"Bearer"),),
        )


def answer_of(refusal: Refusal) -> Answer:
    """Return the answer that tells of a refusal."""
    headers = refusal.headers
    if refusal.retry_after is not None:
        headers += ((b"retry-after", str(refusal.retry_after).encode()),)
    return Answer(write_json(refusal.document), JSON, headers, refusal.status)


def _refused(error: Exception, route: str) -> tuple[Answer, str]:
    """Return the answer to a request that an error ended, and the kind of it.

    The error goes with its frames, which hold what has come of the body.
    """
    refusal = refusal_of(error, route)
    return answer_of(refusal), refusal.kind


async def _send(answer: Answer, body: Body, head_only: bool, send: Send) -> None:
    """Send an answer; where some of the body is left, close the connection after it."""
    if body.is_left and b"expect" not in body.headers:  # who expects sends it when told to
        await body.drain(0)
    is_left = body.is_left
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.content_type),
                (b"content-length", str(len(answer.body)).encode()),
                *answer.headers,
                *([_CLOSES] if is_left else ()),
            ],
        }
    )
    content = b"" if head_only else answer.body
    if is_left:  # closed at once, while its body comes, the answer would not be read
        await send({"type": "http.response.body", "body": content, "more_body": True})
        await body.drain(_DRAIN_SECONDS)
        content = b""
    await send({"type": "http.response.body", "body": content})
