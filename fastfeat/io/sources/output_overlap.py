"""A check whether an output, once written, would be read as input data by the user's next call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fastfeat.io.sources.addresses import WILD
from fastfeat.io.sources.locations import is_hidden, is_match, paths_of


def would_include_output(given: Any, target: Path, name: str | None) -> bool:
    """Return whether the user's input paths or patterns would also match the output, once written.

    Args:
        given: The user's data. Only paths, folders, patterns and addresses can include an output;
            for other data, and for single files, the result is False.
        target: The output's path, absolute and without links.
        name: Name of a file that is written below it, if it is a folder; else None.
    """
    paths = map(_here, paths_of(given))
    return any(path is not None and _takes_in(path, target, name) for path in paths)


def _here(text: str) -> str | None:
    """Return an input's path on this machine; None if it is on a network."""
    if text.startswith("file://"):
        return text.removeprefix("file://")
    return None if "://" in text or "\0" in text else text


def _takes_in(path: str, target: Path, name: str | None) -> bool:
    if os.path.isdir(path):
        folder = Path(path).resolve()
        below = target != folder and target.is_relative_to(folder)
        return below and not is_hidden(target.relative_to(folder).as_posix())
    if os.path.exists(path) or not WILD.search(path):
        return False
    parts = path.split("/")
    n_fixed = next(k for k, part in enumerate(parts) if WILD.search(part))
    folder = Path("/".join(parts[:n_fixed]) or ("/" if path.startswith("/") else ".")).resolve()
    if not target.is_relative_to(folder):
        return False
    return _may_match(parts[n_fixed:], target.relative_to(folder).parts, name)


def _may_match(parts: Sequence[str], folders: Sequence[str], name: str | None) -> bool:
    """Return whether a pattern may match a file in known folders, or in unknown ones below.

    Args:
        parts: Parts of the pattern.
        folders: The known folders; if `name` is None, the last one is the file.
        name: Name of a file in the last of them, or in folders below that.
    """
    if not folders:
        return not parts or (name is not None and fnmatchcase(name, parts[-1]))
    if not parts:
        return True  # files in a folder that the pattern matches
    if parts[0] == "**":
        return _may_match(parts[1:], folders, name) or (
            not is_hidden(folders[0]) and _may_match(parts, folders[1:], name)
        )
    return is_match(folders[0], parts[0]) and _may_match(parts[1:], folders[1:], name)
