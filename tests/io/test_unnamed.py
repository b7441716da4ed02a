"""Files without a name: bytes by their place, and no file when nothing refers to them."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from fastfeat.io import temporary_files
from fastfeat.io.temporary_files import unnamed_file


def test_bytes_are_read_from_any_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_files, "_MOST", 3)
    file = unnamed_file(tmp_path)
    assert [file.append(b"abcde"), file.append(np.arange(2)), file.append(b"")] == [0, 5, 21]
    assert file.read(1, 4) == b"bcde"
    assert np.frombuffer(file.read(5, 16), np.int64).tolist() == [0, 1]
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="a temporary file was cut off after 21 bytes"):
        file.read(20, 2)


def test_file_is_closed_once_nothing_refers_to_it(tmp_path: Path) -> None:
    file = unnamed_file(tmp_path)
    descriptor = file.file.fileno()
    del file
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
