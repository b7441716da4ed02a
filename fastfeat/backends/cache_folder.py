"""The folder of compiled code: where it is, and which files in it are ours.

A key of 40 hexadecimal digits stands for all that a file is compiled from:

- `KEY.kernel`: object code for the CPU, and `KEY.py`: the text that it was compiled from;
- `KEY-DIGEST.so` or another ending: a module that is loaded by its path, and `KEY.so.digest`: the
  digest of its key and its content;
- `.RANDOM.partial`: what a process was writing when it was killed.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from fastfeat.errors import FastfeatError
from fastfeat.io.atomic import TEMPORARY

_CODE = re.compile(r"[0-9a-f]{40}(\.kernel|-[0-9a-f]{16}\.[a-z]+)")
_BESIDE_CODE = re.compile(r"[0-9a-f]{40}(\.py|\.[a-z]+\.digest)")


def cache_folder() -> Path:
    """Return where compiled code is kept: FASTFEAT_CACHE_DIR, or the user's cache folder.

    Raises:
        FastfeatError: neither that variable nor the home folder of the user is known.
    """
    chosen = os.environ.get("FASTFEAT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        return _user_folder()
    except RuntimeError as error:
        raise FastfeatError(f"{error} Set FASTFEAT_CACHE_DIR to a folder for kernels") from None


def _user_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "fastfeat"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fastfeat"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastfeat"


def written_files() -> list[Path]:
    """Return the files in the folder that were written here, never what others keep there."""
    patterns = (_CODE, _BESIDE_CODE, TEMPORARY)
    return [
        path
        for path in cache_folder().glob("*")
        if any(pattern.fullmatch(path.name) for pattern in patterns) and path.is_file()
    ]


def is_code(path: Path) -> bool:
    """Return whether a file is a compiled kernel, not what belongs to one."""
    return _CODE.fullmatch(path.name) is not None
