"""The processes of the live demo: a worker that reads the stream, and a server over its state."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docs.demos.live_feed import DEAD, FEATURES, FLIGHTS, LANDINGS, WEATHER
from docs.demos.live_store import KEY, PREFIX
from docs.demos.services import HOST, PATIENCE_S, Service, end, free_port, last_lines, started
from fastfeat.errors import FastfeatError

ARTIFACT, CONFIG, STATE = "flights.fastfeat", "stream.toml", "state"
_PERIOD_S = 0.05
_CONFIG = """# What the live demo streams: `fastfeat stream {name}`
artifact = "{artifact}"
state = "{state}"
group = "fastfeat-demo"
checkpoint = "500ms"

[kafka]
brokers = "{brokers}"
# a member that is killed says no farewell: its partition goes on when its session has ended
consumer = {{ "session.timeout.ms" = 6000, "heartbeat.interval.ms" = 500 }}

[events]
topic = "{flights}"
types = {{ flight_id = "int64" }}

[outcomes]
topic = "{landings}"

[tables.weather]
topic = "{weather}"

[batch]
rows = 2000
wait = "20ms"

[out.kafka]
topic = "{features}"
format = "arrow"

[out.valkey]
url = "redis://{valkey}/0"
keys = ["{key}"]
prefix = "{prefix}"

[dead_letters]
topic = "{dead}"
"""


def write_config(folder: Path, brokers: str, valkey: str) -> None:
    """Write the configuration of the stream to a folder; addresses are "host:port"."""
    text = _CONFIG.format(
        name=CONFIG,
        artifact=ARTIFACT,
        state=STATE,
        brokers=brokers,
        valkey=valkey,
        flights=FLIGHTS,
        landings=LANDINGS,
        weather=WEATHER,
        features=FEATURES,
        dead=DEAD,
        key=KEY,
        prefix=PREFIX,
    )
    (folder / CONFIG).write_text(text, "utf-8")


@dataclass(slots=True)
class Worker:
    """The process that reads the stream; it can be killed, and started again.

    Args:
        folder: Folder of the configuration, and of the worker's output.
        process: The running process, or None.
    """

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file of its output."""
        return self.folder / "worker.log"

    def start(self) -> None:
        """Start it."""
        command = [sys.executable, "-m", "fastfeat", "stream", str(self.folder / CONFIG)]
        self.process = started(command, self.log, {}, True)

    def check(self) -> None:
        """Raise FastfeatError, with its output, if it has ended by itself."""
        if self.process is not None and self.process.poll() is not None:
            code = self.process.returncode
            raise FastfeatError(f"the worker has ended with {code}: {last_lines(self.log)}")

    def kill(self) -> None:
        """Kill it by SIGKILL, which it cannot handle, like a machine failure."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def end(self) -> None:
        """Ask it to end; it commits its work before."""
        if self.process is not None:
            end(self.process)
            self.process = None


@contextmanager
def worker_in(folder: Path) -> Generator[Worker]:
    """Yield a running worker, and end it afterwards."""
    worker = Worker(folder)
    try:
        worker.start()
        yield worker
    finally:
        worker.end()


@contextmanager
def server_in(folder: Path, state: Path) -> Generator[Service]:
    """Yield a server that begins to read the state which the worker writes.

    `folder` has the artifact, and receives the server's output. `state` is the state to follow.
    """
    port, log = free_port(), folder / "server.log"
    listens = ["--host", HOST, "--port", str(port)]
    command = [sys.executable, "-m", "fastfeat", "serve", str(folder / ARTIFACT), *listens]
    follows = ["--state", str(state), "--follow"]
    server = Service("the server", [*command, *follows], port, {}, log, True)
    try:
        server.launch()
        yield server
    finally:
        if server.process is not None:
            end(server.process)


def state_path(folder: Path) -> Path:
    """Return the path of the worker's state for the only partition."""
    return folder / STATE / f"{FLIGHTS}-0.state"


def state_file(folder: Path, worker: Worker) -> Path:
    """Return the state file of the only partition, as soon as it exists.

    FastfeatError if it does not appear in time, or the worker has ended.
    """
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if state_path(folder).exists():
            return state_path(folder)
        worker.check()
        time.sleep(_PERIOD_S)
    raise FastfeatError(f"the worker has made no state: {last_lines(worker.log)}")
