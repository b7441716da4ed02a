"""A server's address: a TCP port, or a Unix socket (a file that a dead server left is replaced)."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """The address that a server listens at.

    Args:
        host: Host address.
        port: TCP port; 0 for a free one.
        path: Path of a Unix socket, instead of host and port; None for TCP.
        flight_port: Port of Arrow Flight; None if the server does not offer it.
    """

    host: str
    port: int
    path: str | None
    flight_port: int | None

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach this address."""
        return self.host not in _LOOPBACK and (self.path is None or self.flight_port is not None)

    @contextmanager
    def bound(self) -> Generator[socket.socket]:
        """Provide a listening socket; remove the socket file at the end.

        Raises:
            InvalidPlan: The address cannot be used.
        """
        listener = self._tcp() if self.path is None else _unix(self.path)
        try:
            yield listener
        finally:
            listener.close()
            if self.path is not None:
                with suppress(FileNotFoundError):
                    os.unlink(self.path)

    def url(self, listener: socket.socket, scheme: str) -> str:
        """Return the URL of a bound socket, for a message."""
        if self.path is not None:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{listener.getsockname()[1]}"

    def _tcp(self) -> socket.socket:
        try:
            family, *_ = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            return socket.create_server((self.host, self.port), family=family, backlog=1024)
        except (OSError, OverflowError) as error:
            raise InvalidPlan(
                f"cannot listen at {self.host} port {self.port}: {error}. Choose another host= or "
                "port=, 0 for a free one"
            ) from None


def _unix(path: str) -> socket.socket:
    """Return a listening Unix socket that only this user may call.

    Raises:
        InvalidPlan: Another server or file is at that path, or the socket cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the socket gets only these rights from the start
    try:
        _remove_dead_socket(path)
        listener.bind(path)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise InvalidPlan(f"cannot listen at {path}: {error}. Choose another uds=") from None
    finally:
        os.umask(before)
    return listener


def _remove_dead_socket(path: str) -> None:
    """Remove a socket file at this path that a server left when it ended.

    Raises:
        OSError: The path has another kind of file, or a server that still listens.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError("there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise FileExistsError("another server is listening there")
