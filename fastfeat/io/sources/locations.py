"""Files on disk or network: paths, folders, patterns and addresses resolved to a list of files.

Folders such as `year=2024` above a file are hive partitions: they become columns.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidData, shortened
from fastfeat.io.arrow import Array, pa
from fastfeat.io.sources.addresses import (
    WILD,
    open_address,
    query_file_system,
    with_file_in_errors,
    without_secrets,
)


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A file that was found at a path, with its size and modification time at that moment.

    Args:
        name: Name for messages.
        filesystem: A `pyarrow.fs.FileSystem`.
        path: Path in that file system.
        n_bytes: Size in bytes.
        changed_ns: Modification time in nanoseconds since 1970; None if the file system has none.
        keys: Values of hive partitions from the names of its folders; None for a missing value.
    """

    name: str
    filesystem: Any = field(hash=False)
    path: str
    n_bytes: int
    changed_ns: int | None
    keys: Mapping[str, str | None] = field(
        default_factory=dict[str, "str | None"], hash=False, compare=False
    )

    @property
    def is_local(self) -> bool:
        """Whether it is in a file system of this machine."""
        return self.filesystem.type_name == "local"

    def check_unchanged(self) -> None:
        """Raise InvalidData, which names the file, if it has changed since it was found."""
        found = _info(self.filesystem, self.path, self.name)
        if _written(found) != (self.n_bytes, self.changed_ns):
            gone = found.type == _fs().FileType.NotFound
            raise InvalidData(
                f"{self.name} was {'removed' if gone else 'rewritten'} after it was first read: "
                "a data set must not change while it is read. Start again"
            )


def locate_files(given: str | os.PathLike[str], suffix: str | None = None) -> list[FileLocation]:
    """Return the files of a path, folder, pattern or address, in order of their names.

    In a folder, names that begin with `_` or `.` are skipped, and folders such as `year=2024` below
    it are columns. `suffix` skips all other files in folders. A pattern may use `*`, `?`, `[abc]`,
    and `**` for any folders. `pyarrow.fs` or fsspec opens the file system of an address such as
    `s3://bucket/folder`.

    Raises:
        InvalidData: No such file, no file in the folder, or no library for the address.
    """
    text = os.fspath(given)
    if "\0" in text:
        raise InvalidData(f"{text!r}: a path cannot contain a NUL character")
    try:
        return _located(text, suffix)
    except UnicodeError as error:
        raise InvalidData(
            f"{text!r}: the name of a file is not valid UTF-8: {error}. Rename it"
        ) from error


def _located(text: str, suffix: str | None) -> list[FileLocation]:
    text.encode()  # raises if the bytes of the path are not valid text
    filesystem, path, prefix = open_address(text)
    found = _info(filesystem, path, text)
    text, kinds = without_secrets(text), _fs().FileType
    if found.type == kinds.File:
        return [_file(filesystem, found, prefix, "")]
    if found.type == kinds.Directory:
        _check_above(filesystem, path)
        return _in_folders(filesystem, [path], path, text, prefix, suffix)
    if WILD.search(path):
        return _matching(filesystem, path, text, prefix, suffix)
    if found.type == kinds.Unknown:
        raise no_file(text)
    raise InvalidData(f"no such file: {text}")


def no_file(path: str) -> InvalidData:
    """Return the error for a path to a pipe, a socket or a device."""
    return InvalidData(
        f"{path} is neither a file nor a folder: a pipe can be read once. Pass a pyarrow reader "
        "for it, or write its data to a file"
    )


def file_at(filesystem: Any, path: str) -> FileLocation:
    """Return the file at a path of a file system, with its present size and modification time.

    Raises:
        InvalidData: The file does not exist.
    """
    found = _info(filesystem, path, path)
    if found.type != _fs().FileType.File:
        raise InvalidData(f"no such file: {path}")
    return _file(filesystem, found, "", "")


def is_match(name: str, part: str) -> bool:
    """Return whether the name of a file or folder matches one part of a pattern."""
    is_passed_over = is_hidden(name) and not part.startswith(("_", "."))
    return not is_passed_over and fnmatchcase(name, part)


def paths_of(given: Any) -> list[str]:
    """Return the paths, folders, patterns and addresses in a user's data; other data has none."""
    each = cast("Sequence[object]", given if isinstance(given, list | tuple) else [given])
    return [os.fspath(cast("str", one)) for one in each if isinstance(one, str | os.PathLike)]


def hint_of_folders(name: str, paths: Iterable[str]) -> str:
    """Return a hint for a missing column if a folder in a path has its value, else ""."""
    for path in paths:
        for folder in path.split("/"):
            key, sign, _ = folder.partition("=")
            if sign and unquote(key) == name and not WILD.search(folder):
                pattern = f"{path[: path.index(folder)]}{key}=*"
                return (
                    f" Its value is in the name of the folder {folder!r}, but only folders below "
                    f"the given path become columns: pass the folder above, or {pattern!r}"
                )
    return ""


def partition_columns(files: Sequence[FileLocation]) -> dict[str, Array]:
    """Return the partition columns of files, one value per file: integers if all are, else text.

    Raises:
        InvalidData: A file is in no folder of a partition that other files have.
    """
    names = dict.fromkeys(name for file in files for name in file.keys)
    for name in names:
        lacking = next((file for file in files if name not in file.keys), None)
        if lacking is not None:
            having = next(file for file in files if name in file.keys)
            raise InvalidData(
                f"{lacking.name} is not in a folder {name}=..., but {having.name} is, so the first "
                f"has no value of {name}. Pass only files that have one"
            )
    return {name: _typed([file.keys[name] for file in files]) for name in names}


def _typed(texts: Sequence[str | None]) -> Array:
    known = [text for text in texts if text is not None]
    if known and all(_WHOLE.fullmatch(text) for text in known):
        numbers = [None if text is None else int(text) for text in texts]
        if all(number is None or -(2**63) <= number < 2**63 for number in numbers):
            return pa.array(numbers, pa.int64())
    return pa.array(texts, pa.string())


def _in_folders(
    filesystem: Any,
    folders: Iterable[str],
    base: str,
    text: str,
    prefix: str,
    suffix: str | None,
) -> list[FileLocation]:
    """Return the files in and below folders; only folders below `base` are read as partitions."""
    found = [
        _file(filesystem, info, prefix, base)
        for folder in folders
        for info in _all_below(filesystem, folder, text)
        if _is_file(info) and not is_hidden(_below(info.path, folder))
        if suffix is None or info.path.endswith(suffix)
    ]
    if not found:
        which = "(names that start with _ or . are ignored)"
        if suffix is not None:
            which = f"that end in {suffix}"
        raise InvalidData(f"{text} has no files {which}")
    return sorted(found, key=_order)


def _all_below(filesystem: Any, folder: str, text: str) -> Iterator[Any]:
    """Yield the entries in and below a folder, without hidden folders."""
    if filesystem.type_name != "local":
        yield from _infos(filesystem, folder, text, recursive=True)
        return
    for info in _infos(filesystem, folder, text):
        if info.type != _fs().FileType.Directory:
            yield info
        elif not is_hidden(info.base_name):
            _check_leads_on(info.path)
            yield from _all_below(filesystem, info.path, text)


def _check_leads_on(folder: str) -> None:
    """Raise InvalidData if a folder is a symbolic link to a folder that contains it."""
    if os.path.islink(folder):
        target = os.path.realpath(folder)
        if Path(os.path.realpath(os.path.dirname(folder))).is_relative_to(target):
            raise InvalidData(
                f"{folder} is a link to a folder that contains it, {target}, so its files would "
                "repeat without end. Pass a pattern, or the folders one by one"
            )


def _is_file(info: Any) -> bool:
    """Return whether a folder entry is a file; a broken symbolic link raises InvalidData."""
    kinds = _fs().FileType
    if info.type == kinds.NotFound and not is_hidden(info.base_name):
        raise InvalidData(f"{info.path} is a link to a file that does not exist")
    return info.type == kinds.File


def _matching(
    filesystem: Any, pattern: str, text: str, prefix: str, suffix: str | None
) -> list[FileLocation]:
    """Return the files that a pattern matches, and those in folders that it matches."""
    parts = pattern.split("/")
    n_fixed = next(k for k, part in enumerate(parts) if WILD.search(part))
    base = "/".join(parts[:n_fixed]) or ("/" if pattern.startswith("/") else ".")
    kinds = _fs().FileType
    _check_above(filesystem, base)
    found: dict[str, Any] = {}
    for info in _matches(filesystem, base, parts[n_fixed:], text):
        found[info.path] = info
    folders = [path for path, info in found.items() if info.type == kinds.Directory]
    files = {p: _file(filesystem, i, prefix, base) for p, i in found.items() if _is_file(i)}
    if folders and not files:
        return _in_folders(filesystem, folders, base, text, prefix, suffix)
    if not files:
        raise InvalidData(f"no file matches {text}")
    return sorted(files.values(), key=_order)


def _matches(filesystem: Any, folder: str, parts: list[str], text: str) -> Iterator[Any]:
    """Yield files and folders that the rest of a pattern matches; `**` may yield some twice."""
    part, *rest = parts
    if part == "**" and not rest:
        part = "*"
    elif part == "**":
        yield from _matches(filesystem, folder, rest, text)
    for info in _infos(filesystem, folder, text):
        name = info.path.rpartition("/")[2]
        is_folder = info.type == _fs().FileType.Directory
        if part == "**":
            if is_folder and not is_hidden(name):
                _check_leads_on(info.path)
                yield from _matches(filesystem, info.path, parts, text)
        elif is_match(name, part):
            if not rest:
                yield info
            elif is_folder:
                yield from _matches(filesystem, info.path, rest, text)


def _file(filesystem: Any, info: Any, prefix: str, base: str) -> FileLocation:
    keys: dict[str, str | None] = {}
    for folder in _below(info.path, base).split("/")[:-1] if base else ():
        name, sign, value = folder.partition("=")
        if name and sign:
            value = unquote(value)
            keys[unquote(name)] = None if value == MISSING else value
    n_bytes, changed_ns = _written(info)
    return FileLocation(prefix + info.path, filesystem, info.path, n_bytes, changed_ns, keys)


def _below(path: str, folder: str) -> str:
    return path.removeprefix(folder).lstrip("/")


def is_hidden(path: str) -> bool:
    """Return whether a path in a folder of data is skipped: a name begins with _ or a dot."""
    return any(part.startswith(("_", ".")) for part in path.split("/"))


def _order(file: FileLocation) -> list[str]:
    return file.path.split("/")


def _written(info: Any) -> tuple[int, int | None]:
    return info.size or 0, info.mtime_ns


def _info(filesystem: Any, path: str, text: str) -> Any:
    return query_file_system(lambda: filesystem.get_file_info(path), filesystem, text)


def _infos(filesystem: Any, folder: str, text: str, *, recursive: bool = False) -> list[Any]:
    """Return all entries of a folder; broken links have the type NotFound."""
    selector = _fs().FileSelector(folder, allow_not_found=True, recursive=recursive)
    with with_file_in_errors(text, filesystem):
        found = filesystem.get_file_info(selector)
    for info in found:
        _check_no_log(info)
    with with_file_in_errors(text, filesystem):
        if filesystem.type_name != "local" or not os.path.isdir(folder):
            return found
        with os.scandir(folder) as entries:
            links = [of.name for of in entries if of.is_symlink() and not os.path.exists(of)]
        paths = (f"{folder.rstrip('/')}/{name}" for name in links)
        return [*found, *(_fs().FileInfo(path, _fs().FileType.NotFound) for path in paths)]


def _check_no_log(info: Any) -> None:
    """Raise InvalidData if a folder is the transaction log of a table, such as Delta or Iceberg.

    The table's files also hold deleted rows. The error says how to read the table instead.
    """
    above, _, name = info.path.rpartition("/")
    above, _, folder = above.rpartition("/") if name.endswith(".metadata.json") else (above, "", "")
    kind = _LOGS.get(f"{folder}/*.metadata.json" if folder else name)
    if kind is not None and (folder or info.type == _fs().FileType.Directory):
        raise _of_log(above, *kind)


def _check_above(filesystem: Any, path: str) -> None:
    """Raise InvalidData if a folder holds data files of a table with a transaction log."""
    above, sign, name = path.rstrip("/").rpartition("/")
    while "=" in name:
        logs = [f"{above}{sign}{log}" for log in _LOGS if "*" not in log]
        for info in filesystem.get_file_info(logs):
            _check_no_log(info)
        above, sign, name = above.rpartition("/")
    if name == "data":  # a folder of Iceberg data files
        beside = _fs().FileSelector(f"{above}{sign}metadata", allow_not_found=True)
        for info in filesystem.get_file_info(beside):
            _check_no_log(info)


def _of_log(folder: str, kind: str, instead: str) -> InvalidData:
    return InvalidData(
        f"{folder} is a table of {kind}: only its log says which rows are deleted, so its files "
        f"alone would bring them back. Pass {instead.format(repr(folder))}"
    )


def check_once(files: Sequence[FileLocation]) -> None:
    """Raise InvalidData if a file occurs twice, also by a symbolic link.

    Its rows would count twice.
    """
    first: dict[object, FileLocation] = {}
    twice: list[str] = []
    for file in files:
        before = first.setdefault(_identity(file), file)
        if before is not file and _is_same(before, file):
            twice.append(file.name)
    if twice:
        raise InvalidData(
            f"the same file is passed twice, so its rows would count twice: {shortened(twice)}"
        )


def _identity(file: FileLocation) -> object:
    """Return a key that two names of one file share."""
    if file.is_local:
        with suppress(OSError):  # the file is gone now; reading it raises the error
            found = os.stat(file.path)
            return found.st_dev, found.st_ino
    return file.filesystem.type_name, file.path


def _is_same(file: FileLocation, other: FileLocation) -> bool:
    """Return whether two names with one identity are one file; hard links count as two files."""
    is_local = file.is_local
    return not is_local or os.path.realpath(file.path) == os.path.realpath(other.path)


def _fs() -> Any:
    return importlib.import_module("pyarrow.fs")


_LOGS = {
    "_delta_log": (
        "Delta",
        "deltalake.DeltaTable({}).to_pyarrow_dataset(), with pip install 'fastfeat[delta]'",
    ),
    ".hoodie": ("Hudi", "the record batches of hudi.HudiTable({}).read_snapshot()"),
    "_versions": ("Lance", "lance.dataset({}), with pip install 'fastfeat[lance]'"),
    "metadata/*.metadata.json": (
        "Iceberg",
        "lambda: table.scan().to_arrow_batch_reader(), with the pyiceberg table at {}",
    ),
}
"""Names that mark a table with a transaction log, with its kind and the data to pass instead."""
_WHOLE = re.compile(r"-?[0-9]{1,19}")
MISSING = "__HIVE_DEFAULT_PARTITION__"
"""Hive's text for a missing value in the name of a folder."""
