"""The server process: `run`, the order in which it opens its files, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from fastfeat.api.plan import load
from fastfeat.apps.serve.access import Access, access_of
from fastfeat.apps.serve.app import App, Receive, RequestLimits, Send
from fastfeat.apps.serve.artifacts import ArtifactReplacer, WatchedFile, stamp_of
from fastfeat.apps.serve.listen_address import ListenAddress
from fastfeat.apps.serve.option_checks import check_limits, check_options
from fastfeat.apps.serve.routes import route_finder, routes_of
from fastfeat.apps.serve.served_plan import ServedPlan, served_plan
from fastfeat.apps.serve.service import Service
from fastfeat.apps.serve.state_following import StateFollowing
from fastfeat.apps.serve.state_opening import StateOpening
from fastfeat.apps.serve.warming import warm
from fastfeat.apps.serve.wire import Wire
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import StateError
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
FilePath = str | os.PathLike[str]


@with_argument_errors_as("fastfeat.apps.serve.", {})
def run(
    artifact: FilePath,
    *,
    state: FilePath | None = None,
    history: Any = None,
    tables: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    uds: FilePath | None = None,
    token: str | None = None,
    token_file: FilePath | None = None,
    tls_cert: FilePath | None = None,
    tls_key: FilePath | None = None,
    flight_port: int | None = None,
    max_body: int = 16 << 20,
    max_rows: int = 100_000,
    max_waiting: int = 256,
    follow: bool = False,
    watch: bool = False,
    name: str | None = None,
    late: Literal["error", "insert", "drop"] | None = None,
    keep: str | int | None = None,
    max_ahead: str | None = None,
    max_jump: str | int | None = None,
    durability: Literal["commit", "interval", "checkpoint"] | None = None,
    archive: FilePath | None = None,
    keep_audit: str | None = None,
    drift: str | None = None,
    said: Callable[[str], None] | None = None,
) -> None:
    """Serve an artifact over HTTP until SIGTERM or SIGINT, then return.

    Requests that arrived before the signal are answered, and the state is on disk, before it
    returns.

    Args:
        artifact: File of a fitted plan.
        state: File of its state; None keeps the state in memory.
        history: Rows that a new state begins with, in any form that `ff.online` accepts. If the
            state file already exists, the server continues with it, ignores these rows, and says
            so.
        tables: Lookup tables of a new state, by name.
        host: Address to listen at.
        port: TCP port; 0 picks a free one, which is reported to `said`.
        uds: Path of a Unix socket to listen at, instead of host and port.
        token: Secret that callers must send: "Authorization: Bearer TOKEN". None lets anyone call.
        token_file: File with the token, instead of `token`.
        tls_cert: File of the certificate (PEM). Turns TLS on.
        tls_key: File of the certificate's private key (PEM).
        flight_port: Port of Arrow Flight, 0 for a free one; None turns Flight off.
        max_body: Maximum bytes of a request body.
        max_rows: Maximum rows of a request.
        max_waiting: Maximum number of requests that wait for an answer; further ones get status
            429.
        follow: Whether another process writes the state. This server then reads it and changes
            nothing.
        watch: Whether to reload the artifact whenever its file changes.
        name: Model name; None takes the file name.
        late: Treatment of a row that is earlier than the latest one of its entity: "error" refuses
            it, "insert" answers it for its own time and adds it to the state, "drop" answers it
            for its own time without adding it. None means "error" for a new state and the stored
            setting for an existing one.
        keep: How long rows are kept, for late rows, after windows no longer need them: a duration
            such as "2d", a whole number for integer clocks, or "everything". None takes the stored
            setting of an existing state. A new state that accepts late rows then keeps rows twice
            as long as windows need.
        max_ahead: How far the time of a row that is added may be ahead of this machine's clock;
            "any" sets no limit. None means "1h" for a new state that has times with a zone, unless
            `late` is "insert"; an existing state keeps its setting. Rows that only request
            features are not limited.
        max_jump: How far the time of a row that is added may be ahead of the latest row before it;
            None sets no limit.
        durability: When a change is on disk: "commit" (the default) before it is answered,
            "interval" within a second, "checkpoint" when the server ends.
        archive: Folder that keeps recorded changes when a snapshot replaces them, for `ff.replay`.
        keep_audit: How long the archive is kept, such as "90d".
        drift: Time window, such as "1h", over which answered rows are compared with the training
            rows; `/metrics` shows the result. None turns the comparison off.
        said: Called with one line of text for the address and for each new artifact; None prints
            it.

    Raises:
        InvalidPlan: Options contradict each other, or the address cannot be used.
        ArtifactError: The artifact cannot be read, or this machine computes other features for the
            test rows (golden rows) in it.
        StateError: The state cannot be opened.
        FastfeatError: The history or the tables do not fit the plan.
    """
    where = ListenAddress(host, port, None if uds is None else os.fspath(uds), flight_port)
    opening = StateOpening(
        None if state is None else os.fspath(state),
        tables,
        late,
        keep,
        max_ahead,
        max_jump,
        durability,
        drift,
        None if archive is None else os.fspath(archive),
        keep_audit,
    )
    check_options(where, opening, history, follow=follow, watch=watch)
    limits = RequestLimits(max_body, max_waiting, 8 * max_body)
    check_limits(limits, max_rows)
    access = access_of(token, token_file, tls_cert, tls_key)
    tell = said or _print_line
    service = Service(
        limits, name=name or Path(artifact).stem, durable=opening.waits_for_disk, read_only=follow
    )
    service.said = tell
    service.drift = None if drift is None else DriftGauges(seconds_of(drift))
    watched = WatchedFile(Path(artifact), stamp_of(Path(artifact))) if watch else None
    fitted = load(artifact)
    check_golden_if_any(fitted.record)
    if drift is not None:
        profile_to_compare(fitted.record)

    def opened() -> ServedPlan:
        if opening.is_there and (history is not None or tables is not None):
            tell("the state already exists: the given history and tables are ignored")
        live = opening.open(fitted, history)
        told = describe_missing_limit(live, max_ahead, max_jump), warm(fitted, live.tables)
        for note in filter(None, told):
            tell(note)
        return served_plan(live, fitted, max_rows)

    following = None
    if follow and opening.path:
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
