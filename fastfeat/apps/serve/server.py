"""A server's process: what it opens, in which order it begins, and how it ends."""

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
from fastfeat.apps.serve.app import App, Limits, Receive, Send
from fastfeat.apps.serve.artifacts import Artifacts, WatchedFile, stamp_of
from fastfeat.apps.serve.following import Following
from fastfeat.apps.serve.listening import Listening
from fastfeat.apps.serve.option_checks import check_limits, check_options
from fastfeat.apps.serve.routes import finding, routes_of
from fastfeat.apps.serve.served_plan import ServedPlan, served_plan
from fastfeat.apps.serve.service import Service
from fastfeat.apps.serve.state_opening import Opening
from fastfeat.apps.serve.warming import warm
from fastfeat.apps.serve.wire import Wire
from fastfeat.calls.arguments import explaining_as
from fastfeat.errors import StateError
from fastfeat.live.ahead import told_without_limit
from fastfeat.live.drift_gauges import DriftGauges
from fastfeat.live.recent import seconds_of
from fastfeat.trust.quality.golden.golden_rows import check_if_there
from fastfeat.trust.quality.later_rows import profile_to_compare

if TYPE_CHECKING:
    from fastfeat.apps.serve.flight import FlightServer

_FOLLOW_SECONDS = 0.2
_FLIGHT_SECONDS = 3.0
"""So long streams of Flight that are open may go on once the server ends."""
_TURN_SECONDS = 0.001
"""Python's own is five times as long."""
FilePath = str | os.PathLike[str]


@explaining_as("fastfeat.apps.serve.", {})
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
    """Serve an artifact until the process is told to end by SIGTERM or SIGINT; then return.

    What has been asked for by then is answered, and the state is on disk.

    Args:
        artifact: the file of a fitted plan.
        state: the file of its state; None for one in memory.
        history: rows that a new state begins with, in any form that `ff.online` takes; a server
            that is started again with them goes on with the state that is there, and says so.
        tables: lookup tables of a new state, by name.
        host: the address to listen at.
        port: of TCP; 0 for a free one, which `said` is told.
        uds: the path of a Unix socket to listen at, in place of host and port.
        token: what callers must know; "Authorization: Bearer TOKEN".
        token_file: the file that holds it, in place of `token`.
        tls_cert: the file of the certificate, as PEM; then TLS is spoken.
        tls_key: the file of its key.
        flight_port: the port of Arrow Flight, 0 for a free one; None for none.
        max_body: bytes of a request.
        max_rows: rows of a request.
        max_waiting: requests that wait for an answer; further ones are answered by 429.
        follow: whether another process writes the state: this one reads it, and changes nothing.
        watch: whether the artifact is served anew whenever its file changes.
        name: of the model; None for the name of the file.
        late: as of `ff.online`, as the following are.
        keep: how much longer rows stay.
        max_ahead: how far the time of a row that is kept may be ahead of this machine's clock. None
            is "1h" for a new state whose times have a zone, unless `late` is "insert"; "any" sets
            no limit. A state that is there keeps its own. Rows that only ask are not limited.
        max_jump: how far the time of a row that is kept may be ahead of the latest row before it;
            None for any.
        durability: when a call is on disk.
        archive: the folder of what a whole state replaces, for `ff.replay`.
        keep_audit: how long that is kept.
        drift: a window of time, such as "1h", in which the rows that are answered are compared with
            those of training; `/metrics` has gauges of it. None for none.
        said: is told where the server listens, and what becomes of new artifacts; None prints it.

    Raises:
        InvalidPlan: options that contradict each other, or an address that cannot be used.
        ArtifactError, StateError: a file that cannot be opened, or an artifact whose golden rows
            have other features here.
        FastfeatError: of the history and the tables.
    """
    where = Listening(host, port, None if uds is None else os.fspath(uds), flight_port)
    opening = Opening(
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
    limits = Limits(max_body, max_waiting, 8 * max_body)
    check_limits(limits, max_rows)
    access = access_of(token, token_file, tls_cert, tls_key)
    tell = said or _printed
    service = Service(
        limits, name=name or Path(artifact).stem, durable=opening.waits_for_disk, read_only=follow
    )
    service.said = tell
    service.drift = None if drift is None else DriftGauges(seconds_of(drift))
    watched = WatchedFile(Path(artifact), stamp_of(Path(artifact))) if watch else None
    fitted = load(artifact)
    check_if_there(fitted.record)
    if drift is not None:
        profile_to_compare(fitted.record)

    def opened() -> ServedPlan:
        if opening.is_there and (history is not None or tables is not None):
            tell("the state is there: it has begun, and takes no history and no tables any more")
        live = opening.open(fitted, history)
        told = told_without_limit(live, max_ahead, max_jump), warm(fitted, live.tables)
        for note in filter(None, told):
            tell(note)
        return served_plan(live, fitted, max_rows)

    following = None
    if follow and opening.path:
        following = Following(opening.path, fitted, max_rows, drift)
    Process(
        service,
        Artifacts(service, opening, tell),
        opened if following is None else following.opened,
        watched,
        following,
        where,
        access,
        tell,
    ).run()


def _printed(text: str) -> None:
    print(f"fastfeat serve: {text}", file=sys.stderr, flush=True)


class Process:
    """A server from its begin to its end.

    Args:
        service: what it serves.
        artifacts: what takes another artifact.
        opened: opens what is served, which takes a while.
        watched: the file of the artifact, where it is taken anew when it changes.
        following: a state that another process writes; None where this one does.
        where: where it listens.
        access: who may call.
        said: is told what happens.
    """

    def __init__(
        self,
        service: Service,
        artifacts: Artifacts,
        opened: Callable[[], ServedPlan],
        watched: WatchedFile | None,
        following: Following | None,
        where: Listening,
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
        self._is_told_to_end = False

    def run(self) -> None:
        """Answer until told to end.

        Raises:
            FastfeatError: what is served could not be opened.
        """
        service = self._service
        app = App(
            finding(routes_of(service, self._artifacts)),
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
                _ended_by_signals(self._told_to_end),
                _threads_take_turns(),
                self._where.bound() as listener,
            ):
                self._wire = Wire(app, listener, self._access.tls)
                self._said(f"listening at {self._where.url(listener, self._access.scheme)}")
                if self._where.is_open and self._access.token is None:
                    self._said("whoever reaches this address may ask, and change the state")
                if self._is_told_to_end:
                    self._wire.end()
                self._wire.run()
        finally:
            self._close()
        if self._failed is not None:
            raise self._failed

    def _told_to_end(self) -> None:
        """End, also where what reads from the sockets, which knows these signals, has not begun."""
        self._is_told_to_end = True
        if self._wire is not None:
            self._wire.end()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Begin and end with the loop; what is served is loaded while the server answers."""
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
        """Load what is served, and look after it; what fails here ends the server."""
        try:
            await self._look_after()
        except Exception as error:  # raised by `run`, in the main thread
            self._failed = error
            assert self._wire is not None
            self._wire.end()

    async def _look_after(self) -> None:
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

    async def _follow(self, following: Following) -> None:
        """Read what another process writes, until it is cancelled."""
        service, told = self._service, ""
        while True:
            await asyncio.sleep(_FOLLOW_SECONDS)
            try:
                found = await service.work.apart(following.renewed)
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
                for note in filter(None, (following.note, following.unwatched)):
                    self._said(note)
            service.served = found

    def _begin_flight(self, host: str, port: int) -> None:
        from fastfeat.apps.serve.flight import FlightServer

        loop, access = asyncio.get_running_loop(), self._access
        self._flight = FlightServer(self._service, loop, host, port, access.token, access.pem)
        scheme = "grpc" if access.pem is None else "grpc+tls"
        self._said(f"Arrow Flight at {scheme}://{host}:{self._flight.port}")

    def _close(self) -> None:
        """Finish what was begun, and have the state on disk."""
        self._service.work.close()
        if self._following is not None:
            self._following.close()
        if self._service.served is not None:
            self._service.served.live.close()


@contextmanager
def _threads_take_turns() -> Generator[None]:
    """Have the loop wait less long for a thread that computes in Python."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _ended_by_signals(end: Callable[[], None]) -> Generator[None]:
    """Have the process not die by the signals that end a server: it ends by itself."""
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
