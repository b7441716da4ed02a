"""A server of features over HTTP, KServe, MLflow and Arrow Flight; the command line imports it.

`run(artifact, ...)` serves until SIGTERM or SIGINT; the module `options` lists its options. It
returns once all received requests are answered and the state is on disk. It raises InvalidPlan for
invalid options, and another FastfeatError if the artifact or the state cannot be opened.

A request goes from `wire` (HTTP) through `app` (limits, access, refusals) and `routes` to its
handler (in `calls`, `kserve`, `mlflow`, `status`, `explain_calls` or `artifacts`), and from there
through `service` to `call_scheduler`, which calls the live plan. `flight` sends its batches to the
same scheduler.

`run` is imported on first use, because the command line reads the options alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastfeat.apps.serve.server import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fastfeat.apps.serve.server import run

    return run
