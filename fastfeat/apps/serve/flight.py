"""Batches over Arrow Flight, on its own port: rows are sent and their features come back.

The descriptor of an exchange is a command: `features`; `process`, which also adds the rows to the
state; or `update`, which only adds them. Each written batch is answered by one batch, except with
`update`, which answers nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, get_args

from fastfeat.apps.serve.app import check_token
from fastfeat.apps.serve.arrow_rows import CheckedStream, not_arrow
from fastfeat.apps.serve.call_scheduler import CallKind
from fastfeat.apps.serve.refusals import Refusal, refusal_of
from fastfeat.apps.serve.service import Service
from fastfeat.errors import InvalidPlan
from fastfeat.io.arrow import Table, pa

flight: Any = import_module("pyarrow.flight")  # it has no types

_SECONDS = 600.0
_TCP = (socket.AF_INET, socket.AF_INET6)


class Token(flight.ServerMiddlewareFactory):
    """Flight middleware that rejects calls without the server's token."""

    def __init__(self, token: bytes) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # it has no types
        self._token = token

    def start_call(self, info: Any, headers: Mapping[str, list[Any]]) -> None:
        """Raise unless the call has the token."""
        given = next(
            (values[0] for name, values in headers.items() if name.lower() == "authorization"), ""
        )
        text = given.encode() if isinstance(given, str) else given
        try:
            check_token(text, self._token)
        except Refusal as refusal:
            raise flight.FlightUnauthenticatedError(json.dumps(refusal.document)) from None


class FlightServer(flight.FlightServerBase):
    """An Arrow Flight server beside the HTTP server; both share one work queue.

    Args:
        service: The served plan and its work.
        loop: Event loop of the HTTP server.
        host: Address to listen at.
        port: Port, 0 for a free one.
        token: Secret that callers must send; None lets anyone call.
        tls: Certificate and key, as PEM; None for plain text.
    """

    def __init__(
        self,
        service: Service,
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        token: bytes | None,
        tls: tuple[bytes, bytes] | None,
    ) -> None:
        options: dict[str, Any] = {}
        if token is not None:
            options["middleware"] = {"token": Token(token)}
        if tls is not None:
            options["tls_certificates"] = [tls]
        self._service = service
        self._loop = loop
        scheme = "grpc" if tls is None else "grpc+tls"
        address = f"[{host}]" if ":" in host else host
        try:
            super().__init__(f"{scheme}://{address}:{port}", **options)  # pyright: ignore[reportUnknownMemberType]  # it has no types
        except pa.ArrowException as error:
            raise InvalidPlan(
                f"cannot listen at {host} port {port} for Flight: {str(error)[:200]}. Choose "
                "another flight_port=, 0 for a free one"
            ) from None

    async def end(self, seconds: float) -> None:
        """Refuse new calls, wait up to `seconds` for open ones, then cut their connections.

        gRPC alone would wait forever for a silent caller.
        """
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self.shutdown()
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=shut_down, daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            _cut(self.port)
            await ended.wait()

    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Answer each written batch with its features."""
        try:
            self._exchange(_command(descriptor), reader, writer, context)
        except flight.FlightError:  # a Flight error of the connection
            raise
        except Exception as error:  # other errors would send our stack trace to the caller
            raise self._told(error) from None

    def list_flights(self, context: Any, criteria: Any) -> Any:
        """Refuse: there is nothing to list."""
        raise _unsupported_call()

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:
        """Refuse: there is nothing to get."""
        raise _unsupported_call()

    def get_schema(self, context: Any, descriptor: Any) -> Any:
        """Refuse: the schema depends on the rows sent."""
        raise _unsupported_call()

    def do_get(self, context: Any, ticket: Any) -> Any:
        """Refuse: there is nothing to get."""
        raise _unsupported_call()

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Refuse: rows are sent by `do_exchange`."""
        raise _unsupported_call()

    def do_action(self, context: Any, action: Any) -> Any:
        """Refuse: there are no actions."""
        raise _unsupported_call()

    def list_actions(self, context: Any) -> Any:
        """Refuse: there are no actions."""
        raise _unsupported_call()

    def _exchange(self, command: CallKind, reader: Any, writer: Any, context: Any) -> None:
        begun = False
        for chunk in reader:
            if context.is_cancelled():
                return
            if chunk.data is None:
                continue
            served = self._service.now
            taken = CheckedStream(served.reader, self._service.limits.body)
            rows = pa.Table.from_batches([taken.checked(chunk.data)])
            found = self._computed(command, rows)
            if found is None:
                continue
            if not begun:
                writer.begin(found.schema)
                begun = True
            for batch in found.combine_chunks().to_batches() or [_empty(found)]:
                writer.write_batch(batch)

    def _computed(self, command: CallKind, rows: Table) -> Table | None:
        """Return the features of rows. The event loop computes them while this thread waits."""

        async def computed() -> Table | None:
            self._service.begin(rows.nbytes)
            try:
                return (await self._service.call(command, rows)).features
            finally:
                self._service.end(rows.nbytes)

        return _wait_for(computed(), self._loop)

    def _told(self, error: Exception) -> Exception:
        """Return an error as a Flight error, with its JSON error document as the text; count it."""
        refusal = _refusal(error)

        def count() -> None:
            self._service.metrics.errors["flight", refusal.kind] += 1

        self._loop.call_soon_threadsafe(count)
        text = json.dumps(refusal.document)
        is_busy = refusal.status in (429, 503)
        return (flight.FlightUnavailableError if is_busy else flight.FlightServerError)(text)


def _cut(port: int) -> None:
    """Close this process's connections at a local port."""
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # not a connection, or already closed
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                _cut_at(port, socket.socket(fileno=os.dup(int(name))))


def _cut_at(port: int, found: socket.socket) -> None:
    with found:
        if found.family in _TCP and found.getsockname()[1] == port:
            found.shutdown(socket.SHUT_RDWR)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, pa.ArrowException):
        return not_arrow(error)
    return refusal_of(error, "flight")


def _unsupported_call() -> Exception:
    told = f"call do_exchange, with one of the commands {', '.join(get_args(CallKind))}"
    refusal = Refusal(404, "NotFound", told)
    return flight.FlightServerError(json.dumps(refusal.document))


def _command(descriptor: Any) -> CallKind:
    command = descriptor.command
    text = command.decode("utf-8", "replace") if isinstance(command, bytes) else ""
    for kind in get_args(CallKind):
        if text == kind:
            return kind
    told = (
        f"the command of do_exchange must be one of {', '.join(get_args(CallKind))}, got {text!r}"
    )
    raise Refusal(400, "InvalidRequest", told)


def _empty(table: Table) -> Any:
    return pa.RecordBatch.from_pylist([], schema=table.schema)


def _wait_for(
    coroutine: Coroutine[Any, Any, Table | None], loop: asyncio.AbstractEventLoop
) -> Table | None:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(_SECONDS)
