"""Replace the served plan by a new artifact while the server runs.

The new artifact is loaded beside the old one, checked, warmed (so that no caller waits for a
compiler) and swapped in between two calls. If it cannot be served, the caller gets the reason and
the old one stays.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import FittedPlan, fitted_of
from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.json_text import write_json
from fastfeat.apps.serve.refusals import Refusal, refusal_of
from fastfeat.apps.serve.served_plan import ServedPlan, served_plan
from fastfeat.apps.serve.service import Service
from fastfeat.apps.serve.state_opening import (
    StateOpening,
    missing_in_memory,
    replacement_problem,
    without_path,
)
from fastfeat.apps.serve.warming import warm
from fastfeat.errors import ArtifactError, FastfeatError
from fastfeat.keep.artifact import fitted_digest
from fastfeat.live.live import Live
from fastfeat.trust.quality.golden.golden_rows import check_golden_if_any

_TYPES = ("application/octet-stream", "application/vnd.fastfeat")
_WATCH_SECONDS = 1.0


Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class WatchedFile:
    """An artifact file that is reloaded when it changes.

    `stamp` is the result of `stamp_of` for the file, taken before the server read it.
    """

    path: Path
    stamp: Stamp | None


class ArtifactReplacer:
    """Replaces the artifact that a server serves.

    Args:
        service: The served plan and its work.
        opening: Options for opening the state.
        said: Called with one line of text for each event.
    """

    def __init__(
        self, service: Service, opening: StateOpening, said: Callable[[str], None]
    ) -> None:
        self._service = service
        self._opening = opening
        self._said = said
        self._turn = asyncio.Lock()

    def handler(self) -> Handler:
        """Return the handler of requests with a new artifact in their body."""

        async def answer(request: HttpRequest) -> Answer:
            if request.content_type not in _TYPES:
                raise Refusal(
                    415,
                    "UnsupportedMediaType",
                    f"send the artifact with the content type {' or '.join(_TYPES)}",
                )
            return Answer(write_json(await self.take(request.body)))

        return answer

    async def take(self, content: bytes) -> dict[str, Any]:
        """Serve a new artifact, and return a JSON document about the replacement.

        The document lists added and removed columns, and past rows that the new windows need but
        the state lacks. `content` is the content of the artifact's file.

        Raises:
            Refusal: The artifact cannot be served; the message says why.
        """
        service = self._service
        async with self._turn:
            try:
                told = await self._take(content)
            except (Refusal, FastfeatError) as error:
                refusal = refusal_of(self._without_path(error), "artifact")
                service.refused = str(refusal)
                service.metrics.swaps["refused"] += 1
                self._said(f"artifact refused: {refusal}")
                raise refusal from None
            service.refused = ""
            if told["changed"]:
                service.metrics.swaps["taken"] += 1
                self._said(f"artifact {told['artifact']} is served")
            return told

    def _without_path(self, error: Refusal | FastfeatError) -> Refusal | FastfeatError:
        """Return the error, without the path of the state in its message."""
        path = self._opening.path
        if path is None or isinstance(error, Refusal):
            return error
        return type(error)(without_path(str(error), path))

    async def _take(self, content: bytes) -> dict[str, Any]:
        service = self._service
        old = service.now
        if service.read_only:
            raise Refusal(
                403,
                "ReadOnly",
                "this server only reads its state. Give the artifact to the process that writes it",
            )
        new, note = await service.work.apart(lambda: _load_artifact(content, old))
        if note:
            self._said(note)
        missing = ""
        if new is not None:
            missing = await service.work.between(lambda: self._swap(old, new))
        now = service.now
        return {
            "artifact": now.artifact,
            "was": old.artifact,
            "changed": new is not None,
            "reach": now.fitted.history_needed(),
            "reach_was": old.fitted.history_needed(),
            "missing": missing,
            "note": note,
            "added": [name for name in now.columns if name not in old.columns],
            "removed": [name for name in old.columns if name not in now.columns],
        }

    def _swap(self, old: ServedPlan, new: FittedPlan) -> str:
        """Serve `new` instead of `old`; the caller makes sure that no call runs.

        Returns text about past rows that windows of `new` need and the state lacks; "" if none.
        """
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                live = self._opening.open_for_plan(old.live, new)
            except FastfeatError:
                if self._opening.path is not None:
                    self._serve(self._opening.reopen(old.fitted), old.fitted, old)
                raise
        self._serve(live, new, old)
        if self._opening.path is None:
            return missing_in_memory(old.fitted, new)
        return "; ".join(without_path(str(one.message), self._opening.path) for one in told)

    def _serve(self, live: Live, fitted: FittedPlan, old: ServedPlan) -> None:
        self._service.served = served_plan(live, fitted, old.reader.most)

    async def watch(self, watched: WatchedFile) -> None:
        """Look at a file every second, and serve it anew when it has changed, until cancelled."""
        path, seen = watched.path, watched.stamp
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            found = stamp_of(path)
            if found is None or found == seen:
                continue
            await asyncio.sleep(_WATCH_SECONDS / 4)
            if stamp_of(path) != found:  # it is still being written
                continue
            seen = found
            try:
                await self.take(await self._service.work.apart(path.read_bytes))
            except Refusal:
                continue  # `take` has reported it
            except OSError as error:
                print(f"fastfeat serve: {path}: {error.strerror}", file=sys.stderr, flush=True)


def _load_artifact(content: bytes, old: ServedPlan) -> tuple[FittedPlan | None, str]:
    """Return the plan of an artifact, and a note if it could not be warmed.

    The plan is None if the server already serves it.

    Raises:
        Refusal: It cannot replace the old plan.
        FastfeatError: It is not an artifact, or this machine computes other features for the test
            rows (golden rows) in it.
    """
    new = fitted_of(content)
    if fitted_digest(new.record).hex() == old.artifact:
        return None, ""
    told = replacement_problem(old.fitted, new)
    if told:
        raise Refusal(400, ArtifactError.__name__, f"the artifact is refused: {told}")
    check_golden_if_any(new.record)
    return new, warm(new, old.live.tables)


def stamp_of(path: Path) -> Stamp | None:
    """Return a file's time of change, size and inode; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
