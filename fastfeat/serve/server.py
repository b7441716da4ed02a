"""A server's process: sockets, signals, the loop, and the order in which all of it begins and ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastfeat.errors import LibraryUnavailable
from fastfeat.online.live import online
from fastfeat.plan.artifact import load
from fastfeat.serve.app import Answer, App, Handler, Limits, Request, Route
from fastfeat.serve.features import features_handler
from fastfeat.serve.served import served
from fastfeat.serve.serving import Serving

try:
    import uvicorn
except ModuleNotFoundError as error:
    if error.name != "uvicorn":
        raise
    raise LibraryUnavailable("uvicorn is not installed: pip install 'fastfeat[serve]'") from None


def run(
    artifact: str | os.PathLike[str],
    *,
    state: str | os.PathLike[str] | None = None,
    history: Any = None,
    tables: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    uds: str | os.PathLike[str] | None = None,
    max_body: int = 16 << 20,
    max_rows: int = 100_000,
    max_waiting: int = 256,
    said: Callable[[str], None] = print,
) -> None:
    """Serve an artifact until the process is told to end."""
    serving = Serving(durable=state is not None)
    fitted = load(artifact)
    live = online({"": fitted}, history, path=state, tables=tables)
    serving.served = served(live, fitted, max_rows)

    async def is_live(request: Request) -> Answer:
        return Answer(b'{"live":true}')

    routes: dict[str, Route] = {
        "/v1/features": Route("features", {"POST": features_handler(serving, max_body)}),
        "/v2/health/live": Route("live", {"GET": is_live}, is_open=True, always=True),
    }

    def route(path: str) -> tuple[Route, str] | None:
        found = routes.get(path)
        return None if found is None else (found, "")

    app = App(
        route,
        Limits(max_body, max_waiting, 8 * max_body),
        None,
        lambda: serving.served is not None,
        serving.metrics.observed,
    )
    serving.waiting = lambda: app.load.requests
    listener = socket.create_server((host, port))
    said(f"listening on http://{host}:{listener.getsockname()[1]}")
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=10,
    )
    server = uvicorn.Server(config)
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[listener])
    serving.work.close()
    live.close()
