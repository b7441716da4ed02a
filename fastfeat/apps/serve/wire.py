"""HTTP on a socket: the only module that uses uvicorn, with limits on slow callers."""

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
"""Maximum bytes per read; a request head can exceed its limit by at most this much."""
_UNREAD_BYTES = 32 << 10
"""Bytes of a body that the application has not read yet, beyond which the socket is not read.

A connection holds at most one read more. With uvicorn's own limit, twice as large, 300 floods at
once took up to 115 KiB each.
"""
_HEAD_SECONDS = 10.0
_IDLE_SECONDS = 75
_END_SECONDS = 10
MOST_CONNECTIONS = 900
"""Below the usual limit of open files, which leaves some for the state."""


class Protocol(HttpToolsProtocol):
    """One HTTP connection, closed if its caller does not begin or end a request's head in time.

    All bytes outside of bodies are bounded: heads, trailers, and chunk sizes.
    """

    _n_head = 0
    """Bytes since a request began or ended, or since the last byte of its body."""
    _in_head = True
    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start a connection; refuse it if there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._end(b"503 Service Unavailable", "Overloaded", "too many connections")
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the connection's timer."""
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes that one read of the socket returned."""
        self._n_head += len(data)
        super().data_received(data)
        if self._n_head > _HEAD_BYTES:
            self._end(
                b"431 Request Header Fields Too Large",
                "HeadTooLarge",
                f"the head of the request has more than {_HEAD_BYTES} bytes",
            )

    def on_message_begin(self) -> None:
        """Note that a request has started, for the time limit."""
        super().on_message_begin()
        self._in_head, self._n_head = True, 0
        self._wait()

    def on_body(self, body: bytes) -> None:
        """Count a part of the body that arrived."""
        self._n_head = 0
        super().on_body(body)
        if len(self.cycle.body) > _UNREAD_BYTES:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """Note that a request has ended."""
        self._n_head = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Note that the head of a request has ended."""
        self._in_head = False
        self._rest()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Send an error answer (400) to bytes that are not HTTP."""
        self._end(b"400 Bad Request", "NotHttp", "this is not an HTTP/1.1 request")

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, without waiting for a caller that does not read the answer."""
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


class ConnectionReader(asyncio.BufferedProtocol):
    """A connection with a small read buffer, instead of the event loop's 256 KiB.

    `piece` is this buffer. Connections of one event loop share it, because each read is parsed
    before the next one begins.
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
        """Return the buffer for the next read."""
        return self._piece

    def buffer_updated(self, nbytes: int) -> None:
        """Parse the bytes of a read, now in the buffer."""
        self._protocol.data_received(bytes(self._piece[:nbytes]))


class Server(uvicorn.Server):
    """Uvicorn's server, with a time limit on TLS handshakes.

    `config` has no TLS settings; `tls` is the TLS context, or None for plain text.
    """

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Start the server, and accept connections."""
        await super().startup(sockets=[])
        loop = asyncio.get_running_loop()
        seconds = None if self._tls is None else _HEAD_SECONDS
        piece = bytearray(_READ_BYTES)

        def protocol() -> ConnectionReader:
            inner = Protocol(self.config, self.server_state, self.lifespan.state, loop)
            return ConnectionReader(inner, piece)

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
    """An ASGI application that is served on one listening socket.

    `tls` is the TLS context, or None for plain text.
    """

    def __init__(self, app: Any, listener: socket, tls: ssl.SSLContext | None) -> None:
        config = uvicorn.Config(
            app,
            # uvloop never ends while a TLS handshake is open
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
        """Answer requests until told to end; then finish open requests and return."""
        self._server.run(sockets=[self._listener])

    def end(self) -> None:
        """Make `run` finish open requests and return; safe from any thread."""
        self._server.should_exit = True
