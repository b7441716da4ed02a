"""Addresses of files, such as `s3://bucket/folder`: their file systems, and first queries to them.

A network may not answer for many minutes, so first queries have a time limit. An address may
contain a password, so messages never show it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.io.arrow import pa


class FileSystemPath(NamedTuple):
    """A path in a file system.

    Args:
        filesystem: A `pyarrow.fs.FileSystem`.
        path: Path in that file system; may be a pattern.
        prefix: Text before paths in the names of files.
    """

    filesystem: Any
    path: str
    prefix: str


def open_address(text: str) -> FileSystemPath:
    """Return the file system of an address or a path, and the path in it.

    `pyarrow.fs` or fsspec opens the file system of an address. An address, even with a pattern, may
    end in options of the file system: `?region=eu-west-1&scheme=http`.

    Raises:
        InvalidData: No library for the address, or it cannot be reached.
    """
    scheme = _SCHEME.match(text)
    if scheme is None:
        return FileSystemPath(_fs().LocalFileSystem(), text, "")
    options = _OPTIONS.search(text)
    plain, query = (text, "") if options is None else (text[: options.start()], options[0])
    fixed = WILD.split(plain, maxsplit=1)[0]
    folder = fixed.rpartition("/")[0]
    # a pattern is not part of the address: its ? would begin options
    address = folder if fixed != plain and len(folder) > len(scheme[0]) else plain
    filesystem, path = _of_address(address + query, scheme[1])
    path = path.rstrip("/") + plain[len(address) :]
    told = without_secrets(plain)
    return FileSystemPath(
        filesystem, path, told.removesuffix(path) if told.endswith(path) else scheme[0]
    )


def query_file_system(question: Callable[[], Any], filesystem: Any, text: str) -> Any:
    """Return a file system's answer to a first query, such as a size; a network has one minute.

    Raises:
        InvalidData: It fails or does not answer.
    """
    address, is_here = without_secrets(text), filesystem.type_name == "local"
    try:
        return question() if is_here else _within(_MOST_SECONDS, question, address)
    except FastfeatError:
        raise
    except Exception as error:  # the library of a network may raise any error
        told = f"{address}: cannot be inspected: {_reason(error, text)}"
        raise InvalidData(told if is_here else f"{told}. {_advice(text)}") from error


@contextmanager
def with_file_in_errors(name: str, filesystem: Any) -> Generator[None]:
    """Raise errors of reading as InvalidData with the name of a file or folder.

    For a network file system every error is converted, because its library may raise any; for local
    files only errors of reading are.
    """
    is_here = filesystem.type_name == "local"
    try:
        yield
    except FastfeatError:
        raise
    except Exception as error:
        if is_here and not isinstance(error, _ERRORS):
            raise
        reason = error if is_here else _reason(error, name)
        raise InvalidData(f"{name}: cannot be read: {reason}") from error


def without_secrets(address: str) -> str:
    """Return an address without its password and options, for messages and manifests.

    Example:
        >>> without_secrets("s3://key:secret@bucket/logs?region=eu-west-1")
        's3://bucket/logs'
        >>> without_secrets("abfs://files@account.dfs.core.windows.net/logs")
        'abfs://files@account.dfs.core.windows.net/logs'
    """
    if _SCHEME.match(address) is None:
        return address
    return _PASSWORD.sub("//", _OPTIONS.sub("", address), count=1)


def _of_address(address: str, scheme: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path in it."""
    told = without_secrets(address)
    try:
        # opening may query a network for the region of a bucket
        return _within(_MOST_SECONDS, lambda: _fs().FileSystem.from_uri(address), told)
    except (pa.ArrowException, OSError, ValueError, ImportError) as error:
        if isinstance(error, FastfeatError):
            raise
        failed, reason = error, _reason(error, address)
    try:
        fsspec: Any = importlib.import_module("fsspec.core")
        found, path = fsspec.url_to_fs(address)
    except Exception as error:
        if scheme in _CREDENTIALS and not isinstance(failed, NotImplementedError):
            told = f"{told}: cannot be reached: {reason}. {_advice(address)}"
            raise InvalidData(told) from failed
        raise InvalidData(
            f"{told}: no installed library reads {scheme}://. pyarrow: {reason}; "
            f"fsspec: {_reason(error, address)}. "
            "Install fsspec and its library for this scheme, such as s3fs, gcsfs or adlfs"
        ) from error
    return _fs().PyFileSystem(_fs().FSSpecHandler(found)), path


def _within(n_seconds: float, question: Callable[[], Any], address: str) -> Any:
    """Return the result of a query if it arrives in time; a late query continues in its thread.

    Raises:
        InvalidData: There is no answer in time.
    """
    answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put((question(), None))
        except Exception as error:
            answers.put((None, error))

    Thread(target=ask, name="fastfeat-asks", daemon=True).start()
    try:
        answer, error = answers.get(timeout=n_seconds)
    except Empty:
        raise InvalidData(
            f"{address}: no answer within {n_seconds:.3g} seconds. {_advice(address)}"
        ) from None
    if error is not None:
        raise error
    return answer


def _advice(address: str) -> str:
    """Return advice for an address that cannot be reached; "" for a path."""
    scheme = _SCHEME.match(address)
    if scheme is None:
        return ""
    known = _CREDENTIALS.get(scheme[1])
    if known is None:
        return "Check the address and the network"
    return f"Check the address, the network, and the credentials: {known}"


def _reason(error: Exception, address: str) -> str:
    """Return the error text of a library, without secrets and repetition."""
    text = str(error).replace(address, without_secrets(address)).strip()
    return text.split(" error_info=")[0].replace("\n", " ").rstrip(".") or type(error).__name__


def _fs() -> Any:
    return importlib.import_module("pyarrow.fs")


_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError)
WILD = re.compile(r"[*?\[]")
"""Matches the special characters of a pattern of file names."""
_MOST_SECONDS = 60.0
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_OPTIONS = re.compile(r"\?[A-Za-z_]+=[^/*]*$")
_PASSWORD = re.compile(r"//[^/@]*:[^/@]*@")
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws",
    **dict.fromkeys(
        ("gs", "gcs"), "GOOGLE_APPLICATION_CREDENTIALS; gs://anonymous@bucket/... needs none"
    ),
    **dict.fromkeys(
        ("abfs", "abfss"), "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or az login"
    ),
}
"""Sources of the credentials that pyarrow uses for each network."""
