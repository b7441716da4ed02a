"""HTTP on a socket: the one place that knows the library for it, and its limits to slow callers."""

from __future__ import annotations

import asyncio
import ssl
from socket import socket
from typing import Any

from fastfeat.errors import LibraryUnavailable

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ModuleNotFoundError as error:
    if error.name not in ("uvicorn", "httptools"):
        raise
    raise LibraryUnavailable(
        f"{error.name} is not installed: pip install 'fastfeat[serve]'"
    ) from None

_HEAD_BYTES = 64 << 10
_READ_BYTES = 16 << 10
"""The most bytes that are read at once: a head is longer by at most as many.

A connection holds one read more than the 64 KiB of a body after which the library stops reading.
"""
_HEAD_SECONDS = 10.0
_IDLE_SECONDS = 75
_END_SECONDS = 10
MOST_CONNECTIONS = 900
"""Below the usual limit of open files, which leaves some for the state."""


class Protocol(HttpToolsProtocol):
    """One connection: it ends where a request does not begin, or its head does not end, in time.

    All that comes between bytes of bodies is bounded: heads, trailers, the sizes of chunks.
    """

    _n_head = 0
    """Bytes since a request began or ended, or since the last byte of its body."""
    _in_head = True
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; one more than can be held is told to come again."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._end(b"503 Service Unavailable", "Overloaded", "too many connections")
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes of one read."""
        self._n_head += len(data)
        super().data_received(data)
        if self._n_head > _HEAD_BYTES:
            self._end(
                b"431 Request Header Fields Too Large",
                "HeadTooLarge",
                f"the head of the request has more than {_HEAD_BYTES} bytes",
            )

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        super().on_message_begin()
        self._in_head, self._n_head = True, 0
        self._wait()

    def on_body(self, body: bytes) -> None:
        """Note that some of its body has come."""
        self._n_head = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that it has ended."""
        self._n_head = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Note that its head has ended."""
        self._in_head = False
        self._rest()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._end(b"400 Bad Request", "NotHttp", "this is no request of HTTP/1.1")

    def timeout_keep_alive_handler(self) -> None:
        """End an idle connection; one whose caller does not read its answer at once."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def _wait(self) -> None:
        self._rest()
        self._limit = self.loop.call_later(_HEAD_SECONDS, self._too_slow)

    def _rest(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _too_slow(self) -> None:
        if self._in_head and not self.transport.is_closing():
            self._end(b"408 Request Timeout", "HeadTooSlow", "the request did not arrive in time")

    def _end(self, status: bytes, kind: str, message: str) -> None:
        if self.transport.is_closing():
            return
        body = (
            f'{{"error":{{"kind":"{kind}","message":"{message}","row":null,"column":null,'
            f'"value":null}}}}'
        ).encode()
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%b" % (status, len(body), body)
        )
        self.transport.close()


class Reader(asyncio.BufferedProtocol):
    """A connection that is read in small pieces; else the event loop reads 256 KiB at once.

    Args:
        protocol: parses what is read.
        piece: where bytes are read to. Connections of one loop share it: each read is parsed before
            the next one begins.
    """

    def __init__(self, protocol: Protocol, piece: bytearray) -> None:
        self._protocol = protocol
        self._piece = memoryview(piece)
        self.connection_made = protocol.connection_made  # type: ignore[method-assign, assignment]
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the memory that the next bytes are read to."""
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """Parse the bytes that have come."""
        self._protocol.data_received(bytes(self._piece[:nbytes]))


class Server(uvicorn.Server):
    """The library's server, whose callers of TLS must shake hands as fast as send a head.

    Args:
        config: of the library, without TLS.
        tls: what speaks TLS; None for plain text.
    """

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Begin, and take connections."""
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()
        seconds = None if self._tls is None else _HEAD_SECONDS
        piece = bytearray(_READ_BYTES)

        def protocol() -> Reader:
            inner = Protocol(self.config, self.server_state, self.lifespan.state, loop)
            return Reader(inner, piece)

        for one in sockets or ():
            server = await loop.create_server(
                protocol,
                sock=one,
                ssl=self._tls,
                backlog=self.config.backlog,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
            self.servers.append(server)


class Wire:
    """A connection of a socket to an application: it reads requests, and writes answers.

    Args:
        app: an application of ASGI.
        listener: the socket, which listens.
        tls: what speaks TLS; None for plain text.
    """

    def __init__(self, app: Any, listener: socket, tls: ssl.SSLContext | None) -> None:
        config = uvicorn.Config(
            app,
            # uvloop, where there is one, never ends while hands are being shaken
            loop="auto" if tls is None else "asyncio",
            http=Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_END_SECONDS,
        )
        config.load()
        self._listener = listener
        self._server = Server(config, tls)

    def run(self) -> None:
        """Answer until the process is told to end: then finish what has come, and return."""
        self._server.run(sockets=[self._listener])

    def end(self) -> None:
        """Finish what has come, and return from `run`; for any thread."""
        self._server.should_exit = True
