"""Access to a server: a token that callers must send, and a certificate for TLS."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan, reason_of

SecretPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Access:
    """The token and certificate of a server.

    Args:
        token: Secret that callers must send; None lets anyone call.
        tls: TLS context; None for plain text.
        pem: Certificate and key, as PEM; None without TLS.
    """

    token: bytes | None
    tls: ssl.SSLContext | None
    pem: tuple[bytes, bytes] | None

    @property
    def scheme(self) -> str:
        """The scheme of the server's URL."""
        return "http" if self.tls is None else "https"


def access_of(
    token: str | None,
    token_file: SecretPath | None,
    cert: SecretPath | None,
    key: SecretPath | None,
) -> Access:
    """Return the token and certificate of a server, read from the options of `run`.

    Raises:
        InvalidPlan: Two tokens, a token that no header can hold, a certificate without its key, or
            an unreadable file.
    """
    if (cert is None) != (key is None):
        raise InvalidPlan("TLS needs both: tls_cert= and tls_key=")
    known = _token(token, token_file)
    if cert is None or key is None:
        return Access(known, None, None)
    pem = _read(cert, "tls_cert"), _read(key, "tls_key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidPlan(
            f"tls_cert={os.fspath(cert)!r} and tls_key={os.fspath(key)!r} are not a certificate "
            f"and its key: {error.strerror or error}"
        ) from None
    return Access(known, context, pem)


def _token(token: str | None, file: SecretPath | None) -> bytes | None:
    if token is not None and file is not None:
        raise InvalidPlan("give token= or token_file=, not both")
    given = token
    if file is not None:
        given = _read(file, "token_file").decode("utf-8", "replace").strip()
    if given is None:
        return None
    if not given or not given.isascii() or not given.isprintable() or " " in given:
        raise InvalidPlan("a token must be one ASCII word. Make one with `openssl rand -hex 32`")
    return given.encode()


def _read(path: SecretPath, option: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise InvalidPlan(f"{option}={os.fspath(path)!r} cannot be read: {reason}") from None
