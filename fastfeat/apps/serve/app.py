"""The server's ASGI application: it checks each HTTP request, calls its handler, sends the answer.

A route is a path of the server with the functions (handlers) that answer it. A `Refusal` is an
error that becomes the answer. There is no web framework: this file is everything between the socket
and a handler.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastfeat_kernels.records import dataclass

from fastfeat.apps.serve.json_text import write_json
from fastfeat.apps.serve.refusals import Refusal, refusal_of
from fastfeat.errors import counted

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

JSON = b"application/json"
_CLOSES = (b"connection", b"close")
_GONE = 499
"""Status under which a request is counted if its caller went away."""
_BODY_SECONDS = 30.0
"""Time limit for a body to arrive."""
_DRAIN_SECONDS = 1.0
"""How long the rest of a body is read and dropped, so that its sender sees the answer."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTP request that was received in full.

    Args:
        name: Table or model name in the path of the request; "" without one.
        content_type: Content type of the body, without parameters.
        headers: Header name in lower case to value.
        query: Raw query string of the address.
        body: Content of the body.
    """

    name: str
    content_type: str
    headers: Mapping[bytes, bytes]
    query: bytes
    body: bytes

    @property
    def parameters(self) -> dict[str, str]:
        """The query parameters by name.

        Raises:
            Refusal: A parameter appears twice, or the query string is not valid text.
        """
        try:
            pairs = parse_qsl(self.query.decode("ascii"), True, True, errors="strict")
        except ValueError:  # or bytes that are not text
            told = "the parameters in the address cannot be read"
            raise Refusal(400, "InvalidRequest", told) from None
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Refusal(400, "InvalidRequest", "a parameter appears twice in the address")
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """The HTTP answer to a request.

    Args:
        body: Content of the body.
        content_type: Content type of the body.
        headers: Further headers.
        status: HTTP status.
    """

    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    status: int = 200


Handler = Callable[[HttpRequest], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the server, and the handlers that answer its requests.

    Args:
        name: Name of the path in metrics.
        handlers: HTTP method to handler.
        is_open: Whether requests are answered without a token.
        always: Whether requests are answered before the plan is loaded.
    """

    name: str
    handlers: Mapping[str, Handler]
    is_open: bool = False
    always: bool = False


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits on the requests that a server accepts.

    Args:
        body: Maximum bytes of one body.
        waiting: Maximum number of unanswered requests; further ones are refused (429).
        waiting_bytes: Maximum bytes of the bodies of all unanswered requests.
    """

    body: int
    waiting: int
    waiting_bytes: int


@dataclass(slots=True)
class Load:
    """The requests that a server has accepted and not answered yet.

    Args:
        requests: Number of requests.
        n_bytes: Bytes of their bodies in memory.
    """

    requests: int = 0
    n_bytes: int = 0


AnswerObserver = Callable[[str, int, float, str], None]
"""Called for each answer with route, status, seconds, and the kind of its error ("" for none)."""


@dataclass(frozen=True, slots=True)
class App:
    """The ASGI application.

    Args:
        route: Returns the route of a path and the name in the path; None for unknown paths.
        limits: Limits on requests.
        token: Secret that callers must send; None lets anyone call.
        is_ready: Returns whether the plan is loaded.
        observed: Called after each answer, to count it.
        load: Unanswered requests.
        released: Called with the size of a body in bytes once its memory is free again.
        lifespan: Called when the server starts; returns when it has ended.
    """

    route: Callable[[str], tuple[Route, str] | None]
    limits: RequestLimits
    token: bytes | None
    is_ready: Callable[[], bool]
    observed: AnswerObserver
    load: Load
    released: Callable[[int], None]
    lifespan: Callable[[Receive, Send], Awaitable[None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or run the start and the end of the server."""
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
        except Exception as raised:  # our own bugs get an answer too, and the log says where
            answer, error = _refusal_answer(raised, name)
        finally:
            self.load.n_bytes -= body.n_bytes
            self.released(body.n_bytes)
        await _send(answer, body, scope["method"] == "HEAD", send)
        self.observed(name, answer.status, time.perf_counter() - start, error)

    async def _answer(self, route: Route, name: str, scope: Scope, body: Body) -> Answer:
        """Return the answer of a route's handler, after the checks of method, token and load.

        Raises:
            Refusal: The request is refused.
            ConnectionResetError: The caller closed the connection.
        """
        method = scope["method"]
        handler = route.handlers.get("GET" if method == "HEAD" else method)
        if handler is None:
            allowed = ", ".join(route.handlers)
            headers = ((b"allow", allowed.encode()),)
            told = f"this address accepts only {allowed}"
            raise Refusal(405, "MethodNotAllowed", told, headers=headers)
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
        check_load(load, self.limits)  # others may have arrived meanwhile
        load.requests += 1
        try:
            await asyncio.sleep(0)  # let all requests that arrived together register
            return await handler(_request(name, headers, scope, content))
        finally:
            load.requests -= 1


def _request(
    name: str, headers: Mapping[bytes, bytes], scope: Scope, content: bytes
) -> HttpRequest:
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    return HttpRequest(name, kind, headers, scope["query_string"], content)


def check_load(load: Load, limits: RequestLimits) -> None:
    """Raise Refusal (429) if too many requests, or too many bytes, wait for an answer."""
    if load.requests >= limits.waiting or load.n_bytes > limits.waiting_bytes:
        raise Refusal(
            429,
            "Overloaded",
            f"the server is overloaded: {counted(load.requests, 'request')} waiting. Try again "
            "later",
            retry_after=1,
        )


class Body:
    """The body of a request, read up to a limit.

    `load` counts the bytes of all bodies, from the moment that a header announces them or they
    arrive.
    """

    def __init__(
        self, receive: Receive, headers: Mapping[bytes, bytes], limits: RequestLimits, load: Load
    ) -> None:
        self.headers = headers
        self.n_bytes = 0
        """Bytes of this body that are counted in the load."""
        self._receive = receive
        self._limits = limits
        self._load = load
        self._n_taken = 0
        self._ended = False

    @property
    def has_rest(self) -> bool:
        """Whether a part of the body may still arrive that no handler will read."""
        announced = self.headers.get(b"content-length", b"0") != b"0"
        return not self._ended and (announced or b"transfer-encoding" in self.headers)

    async def read(self) -> bytes:
        """Return the bytes of the whole body, as soon as they have arrived.

        Raises:
            Refusal: The body, or all bodies together, exceed the limits; or it does not arrive in
                time.
            ConnectionResetError: The caller went away.
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
        """Count this body as `n_bytes` bytes in `load`, unless more were counted before.

        Raises:
            Refusal: The body is too large, or all bodies together are; then the newest one is
                refused.
        """
        if n_bytes > self._limits.body:
            told = f"the body has more than {self._limits.body:,} bytes"
            raise Refusal(413, "BodyTooLarge", told)
        more = max(0, n_bytes - self.n_bytes)
        if self._load.n_bytes + more > self._limits.waiting_bytes:
            told = (
                "the bodies of all waiting requests together would exceed "
                f"{self._limits.waiting_bytes:,} bytes. Try again later"
            )
            raise Refusal(429, "Overloaded", told, retry_after=1)
        self.n_bytes += more
        self._load.n_bytes += more

    async def drain(self, seconds: float) -> None:
        """Read and drop the rest of the body for up to `seconds`; 0 drops only received bytes."""
        try:
            async with asyncio.timeout(seconds):
                while not self._ended:
                    message = await self._receive()
                    self._ended = not message.get("more_body")
        except TimeoutError:
            pass


def check_token(given: bytes, token: bytes) -> None:
    """Raise Refusal (401) unless the `authorization` header contains the token."""
    kind, _, told = given.partition(b" ")
    # compare digests: the time it takes then reveals nothing about the token or its length
    is_right = hmac.compare_digest(*(hmac.digest(b"-", t, "sha256") for t in (told.strip(), token)))
    if kind.lower() != b"bearer" or not is_right:
        raise Refusal(
            401,
            "Unauthorized",
            "the token is missing or wrong: send the header Authorization: Bearer TOKEN",
            headers=((b"www-authenticate", b"Bearer"),),
        )


def answer_of(refusal: Refusal) -> Answer:
    """Return a refusal as an HTTP answer."""
    headers = refusal.headers
    if refusal.retry_after is not None:
        headers += ((b"retry-after", str(refusal.retry_after).encode()),)
    return Answer(write_json(refusal.document), JSON, headers, refusal.status)


def _refusal_answer(error: Exception, route: str) -> tuple[Answer, str]:
    """Return the answer to a failed request, and the name of its error for the metrics.

    After this call nothing refers to the error, so the body in its stack frames can be freed.
    """
    refusal = refusal_of(error, route)
    return answer_of(refusal), refusal.kind


async def _send(answer: Answer, body: Body, head_only: bool, send: Send) -> None:
    """Send an answer. If the caller is still sending the body, close the connection afterwards."""
    if body.has_rest and b"expect" not in body.headers:  # it waits before sending
        await body.drain(0)
    is_left = body.has_rest
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
    if is_left:  # if closed while the body still arrives, the caller would not read the answer
        await send({"type": "http.response.body", "body": content, "more_body": True})
        await body.drain(_DRAIN_SECONDS)
        content = b""
    await send({"type": "http.response.body", "body": content})
