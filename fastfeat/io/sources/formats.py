"""File formats, recognized by the suffix of a name or by the first bytes of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

FileFormat = Literal["parquet", "ipc_file", "ipc_stream", "csv", "tsv"]

SUFFIXES: dict[str, FileFormat] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc_file",
    ".feather": "ipc_file",
    ".ipc": "ipc_file",
    ".arrows": "ipc_stream",
    ".csv": "csv",
    ".tsv": "tsv",
}
MAGIC: tuple[tuple[bytes, FileFormat], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "ipc_file"),
    (b"\xff\xff\xff\xff", "ipc_stream"),
)


def format_of_name(path: Path) -> FileFormat | None:
    """Return the format that a file's suffix names, or None; `.csv.gz` is CSV."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def format_of_bytes(start: bytes) -> FileFormat | None:
    """Return the format that the first bytes of a file show, or None."""
    return next((name for magic, name in MAGIC if start.startswith(magic)), None)


_COMPRESSED = frozenset({".gz", ".bz2", ".zst", ".lz4"})
