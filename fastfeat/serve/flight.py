"""Batches over Arrow Flight: rows go one way, their features come back, on a port of its own.

The descriptor of an exchange is the command `features`, `process` (which puts the rows into the
state too) or `update` (which answers nothing); each batch that is written is answered by one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from importlib import import_module
from typing import Any, get_args

from fastfeat.errors import FastfeatError, InvalidPlan
from fastfeat.io.arrow import Table, pa
from fastfeat.serve.app import check_token
from fastfeat.serve.arrow_rows import Taken, not_arrow
from fastfeat.serve.refusals import Refusal, refusal_of
from fastfeat.serve.serving import Serving
from fastfeat.serve.work import Kind

flight: Any = import_module("pyarrow.flight")  # it has no types

_SECONDS = 600.0


class Token(flight.ServerMiddlewareFactory):
    """What lets calls in that know a token."""

    def __init__(self, token: bytes) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # it has no types
        self._token = token

    def start_call(self, info: Any, headers: Mapping[str, list[Any]]) -> None:
        """Raise where a call does not know it."""
        given = next(
            (values[0] for name, values in headers.items() if name.lower() == "authorization"), ""
        )
        text = given.encode() if isinstance(given, str) else given
        try:
            check_token(text, self._token)
        except Refusal as refusal:
            raise flight.FlightUnauthenticatedError(json.dumps(refusal.document)) from None


class FlightServer(flight.FlightServerBase):
    """A server of Arrow Flight beside one of HTTP, whose work it gives its rows to.

    Args:
        serving: the server.
        loop: its event loop.
        host: the address to listen at.
        port: 0 for a free one.
        token: what a caller must know; None where anyone may call.
        tls: certificate and key, as PEM; None for plain text.
    """

    def __init__(
        self,
        serving: Serving,
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
        self._serving = serving
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

    def do_exchange(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Answer each batch that is written by its features."""
        command = _command(descriptor)
        try:
            self._exchange(command, reader, writer, context)
        except Refusal as refusal:
            raise self._told(refusal) from None
        except FastfeatError as error:
            raise self._told(refusal_of(error)) from None
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError) as error:
            raise self._told(not_arrow(error)) from None

    def _exchange(self, command: Kind, reader: Any, writer: Any, context: Any) -> None:
        begun = False
        for chunk in reader:
            if context.is_cancelled():
                return
            if chunk.data is None:
                continue
            served = self._serving.now
            taken = Taken(served.reader, self._serving.limits.body)
            rows = pa.Table.from_batches([taken.checked(chunk.data)])
            found = self._computed(command, rows)
            if found is None:
                continue
            if not begun:
                writer.begin(found.schema)
                begun = True
            for batch in found.combine_chunks().to_batches() or [_empty(found)]:
                writer.write_batch(batch)

    def _computed(self, command: Kind, rows: Table) -> Table | None:
        """Return what the loop gives for rows."""

        async def computed() -> Table | None:
            self._serving.begin(rows.nbytes)
            try:
                return (await self._serving.call(command, rows)).features
            finally:
                self._serving.end(rows.nbytes)

        return _waited(computed(), self._loop)

    def _told(self, refusal: Refusal) -> Exception:
        """Return the error of a call that tells of a refusal: its document is the message."""

        def count() -> None:
            self._serving.metrics.errors["flight", refusal.kind] += 1

        self._loop.call_soon_threadsafe(count)
        text = json.dumps(refusal.document)
        if refusal.status in (429, 503):
            return flight.FlightUnavailableError(text)
        if refusal.status >= 500:
            return flight.FlightServerError(text)
        return pa.ArrowInvalid(text)


def _command(descriptor: Any) -> Kind:
    command = descriptor.command
    text = command.decode("utf-8", "replace") if isinstance(command, bytes) else ""
    for kind in get_args(Kind):
        if text == kind:
            return kind
    raise pa.ArrowInvalid(f"the command of an exchange is one of {', '.join(get_args(Kind))}")


def _empty(table: Table) -> Any:
    return pa.RecordBatch.from_pylist([], schema=table.schema)


def _waited(
    coroutine: Coroutine[Any, Any, Table | None], loop: asyncio.AbstractEventLoop
) -> Table | None:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(_SECONDS)
