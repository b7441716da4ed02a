"""The server process: `run`, the order in which it opens its files, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from fastfeat.api.plan import load
from fastfeat.apps.serve.access import Access, access_of
from fastfeat.apps.serve.app import App, Receive, RequestLimits, Send
from fastfeat.apps.serve.artifacts import ArtifactReplacer, WatchedFile, stamp_of
from fastfeat.apps.serve.listen_address import ListenAddress
from fastfeat.apps.serve.options import ServeOptions, check_options
from fastfeat.apps.serve.routes import route_finder, routes_of
from fastfeat.apps.serve.served_plan import ServedPlan, served_plan
from fastfeat.apps.serve.service import Service
from fastfeat.apps.serve.state_following import StateFollowing
from fastfeat.apps.serve.state_opening import StateOpening
from fastfeat.apps.serve.warming import warm
from fastfeat.apps.serve.wire import Wire
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.calls.options import AnyPath, takes_options
from fastfeat.errors import InvalidPlan, StateError
from fastfeat.live.drift_gauges import DriftGauges
from fastfeat.live.max_ahead import describe_missing_limit
from fastfeat.live.recent import seconds_of
from fastfeat.trust.quality.golden.golden_rows import check_golden_if_any
from fastfeat.trust.quality.later_rows import profile_to_compare

if TYPE_CHECKING:
    from fastfeat.apps.serve.flight import FlightServer

_FOLLOW_SECONDS = 0.2
_FLIGHT_SECONDS = 3.0
"""How long open Flight streams may continue once the server ends."""
_TURN_SECONDS = 0.001
"""Thread switch interval; Python's default is five times as long."""


@with_argument_errors_as("fastfeat.apps.serve.", {})
@takes_options(ServeOptions, InvalidPlan)
def run(artifact: AnyPath, options: ServeOptions) -> None:
    """Serve an artifact over HTTP until SIGTERM or SIGINT, then return.

    Requests that arrived before the signal are answered, and the state is on disk, before it
    returns.

    Args:
        artifact: File of a fitted plan.
        {options}

    Raises:
        InvalidPlan: An option has a wrong value, options contradict each other, or the address
            cannot be used.
        TypeMismatch: An option is unknown.
        ArtifactError: The artifact cannot be read, or this machine computes other features for the
            test rows (golden rows) in it.
        StateError: The state cannot be opened.
        FastfeatError: The history or the tables do not fit the plan.
    """
    check_options(options)
    uds, flight_port = options.uds, options.flight_port
    where = ListenAddress(
        options.host, options.port, None if uds is None else os.fspath(uds), flight_port
    )
    opening = StateOpening(options)
    limits = RequestLimits(options.max_body, options.max_waiting, 8 * options.max_body)
    access = access_of(options.token, options.token_file, options.tls_cert, options.tls_key)
    max_rows, drift, history = options.max_rows, options.drift, options.history
    tell = options.said or _print_line
    service = Service(
        limits,
        name=options.name or Path(artifact).stem,
        durable=opening.waits_for_disk,
        read_only=options.follow,
    )
    service.said = tell
    service.drift = None if drift is None else DriftGauges(seconds_of(drift))
    watched = WatchedFile(Path(artifact), stamp_of(Path(artifact))) if options.watch else None
    fitted = load(artifact)
    check_golden_if_any(fitted.record)
    if drift is not None:
        profile_to_compare(fitted.record)

    def opened() -> ServedPlan:
        if opening.is_there and (history is not None or options.tables is not None):
            tell("the state already exists: the given history and tables are ignored")
        live = opening.open(fitted, history)
        limit = describe_missing_limit(live, options.max_ahead, options.max_jump)
        for note in filter(None, (limit, warm(fitted, live.tables))):
            tell(note)
        return served_plan(live, fitted, max_rows)

    following = None
    if options.follow and opening.path:
        following = StateFollowing(opening.path, fitted, max_rows, drift)
    Process(
        service,
        ArtifactReplacer(service, opening, tell),
        opened if following is None else following.opened,
        watched,
        following,
        where,
        access,
        tell,
    ).run()


def _print_line(text: str) -> None:
    print(f"fastfeat serve: {text}", file=sys.stderr, flush=True)


class Process:
    """A server process, from its start to its end.

    Args:
        service: The served plan and its counters.
        artifacts: Replaces the artifact.
        opened: Opens the plan and its state, which takes a while.
        watched: The artifact's file, if it is reloaded when it changes.
        following: A state that another process writes; None if this server writes it.
        where: Addresses to listen at.
        access: Token and certificate.
        said: Called with messages for the operator.
    """

    def __init__(
        self,
        service: Service,
        artifacts: ArtifactReplacer,
        opened: Callable[[], ServedPlan],
        watched: WatchedFile | None,
        following: StateFollowing | None,
        where: ListenAddress,
        access: Access,
        said: Callable[[str], None],
    ) -> None:
        self._service = service
        self._artifacts = artifacts
        self._opened = opened
        self._watched = watched
        self._following = following
        self._where = where
        self._access = access
        self._said = said
        self._failed: Exception | None = None
        self._flight: FlightServer | None = None
        self._wire: Wire | None = None
        self._must_end = False

    def run(self) -> None:
        """Answer requests until told to end.

        Raises:
            FastfeatError: The plan or its state could not be opened.
        """
        service = self._service
        app = App(
            route_finder(routes_of(service, self._artifacts)),
            service.limits,
            self._access.token,
            lambda: service.served is not None,
            service.metrics.observed,
            service.load,
            service.memory.note,
            self._lifespan,
        )
        try:
            with (
                _end_on_signals(self._end),
                _with_short_thread_turns(),
                self._where.bound() as listener,
            ):
                self._wire = Wire(app, listener, self._access.tls)
                self._said(f"listening at {self._where.url(listener, self._access.scheme)}")
                if self._where.is_open and self._access.token is None:
                    self._said(
                        "anyone who can reach this address can request features and change the "
                        "state. To prevent this, set a token"
                    )
                if self._must_end:
                    self._wire.end()
                self._wire.run()
        finally:
            self._close()
        if self._failed is not None:
            raise self._failed

    def _end(self) -> None:
        """End the server; works even before uvicorn, which handles signals, has started."""
        self._must_end = True
        if self._wire is not None:
            self._wire.end()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Load the plan when the event loop starts, and close the state when the server ends."""
        await receive()
        task = asyncio.create_task(self._begin())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._flight is not None:
            await self._flight.end(_FLIGHT_SECONDS)
        await send({"type": "lifespan.shutdown.complete"})

    async def _begin(self) -> None:
        """Load the plan and start to watch its files; an error here ends the server."""
        try:
            await self._serve_plan()
        except Exception as error:  # raised by `run`, in the main thread
            self._failed = error
            assert self._wire is not None
            self._wire.end()

    async def _serve_plan(self) -> None:
        service = self._service
        service.served = await service.work.apart(self._opened)
        if self._following is not None and self._following.note:
            self._said(self._following.note)
        if self._where.flight_port is not None:
            self._begin_flight(self._where.host, self._where.flight_port)
        self._said(f"ready with {service.name}, artifact {service.now.artifact}")
        if self._watched is not None:
            await self._artifacts.watch(self._watched)
        if self._following is not None:
            await self._follow(self._following)

    async def _follow(self, following: StateFollowing) -> None:
        """Apply the changes that another process writes to the state file, until cancelled."""
        service, told = self._service, ""
        while True:
            await asyncio.sleep(_FOLLOW_SECONDS)
            try:
                found = await service.work.apart(following.refresh)
            except StateError as error:
                service.is_lost = True
                if str(error) != told:
                    self._said(f"the state cannot be read: {error}")
                told = str(error)
                continue
            service.is_lost, told = False, ""
            if found is None:
                continue
            if found.artifact != service.now.artifact:
                self._said(f"artifact {found.artifact} is served")
                for note in filter(None, (following.note, following.drift_problem)):
                    self._said(note)
            service.served = found

    def _begin_flight(self, host: str, port: int) -> None:
        from fastfeat.apps.serve.flight import FlightServer

        loop, access = asyncio.get_running_loop(), self._access
        self._flight = FlightServer(self._service, loop, host, port, access.token, access.pem)
        scheme = "grpc" if access.pem is None else "grpc+tls"
        self._said(f"Arrow Flight at {scheme}://{host}:{self._flight.port}")

    def _close(self) -> None:
        """End the threads that compute, and close the state."""
        self._service.work.close()
        if self._following is not None:
            self._following.close()
        if self._service.served is not None:
            self._service.served.live.close()


@contextmanager
def _with_short_thread_turns() -> Generator[None]:
    """Within the block, let threads that run Python yield sooner to the event loop."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _end_on_signals(end: Callable[[], None]) -> Generator[None]:
    """Call `end` on SIGINT and SIGTERM, so that the server ends itself instead of being killed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(number: int, frame: FrameType | None) -> None:
        end()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, told) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
