"""Memory of the process and of the machine, and budgets as users write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastfeat.errors import InvalidConfig
from fastfeat.io import host_memory
from fastfeat.io.host_memory import as_bytes, bytes_of, free_memory, peak_memory, resident_memory


@pytest.mark.parametrize(
    ("given", "n_bytes"),
    [("600MiB", 600 << 20), ("2 GB", 2 * 10**9), ("1.5kib", 1536), ("7B", 7), (1 << 30, 1 << 30)],
)
def test_budgets_are_bytes(given: str | int, n_bytes: int) -> None:
    assert bytes_of(given) == n_bytes


@pytest.mark.parametrize(
    "given", ["", "600", "lots", "0MiB", "-1GB", 0, -5, True, 1.5, None, "1 PB"]
)
def test_what_is_no_budget_is_an_error(given: object) -> None:
    with pytest.raises(InvalidConfig, match=r'takes bytes with a unit, such as "600MiB"'):
        bytes_of(given)  # type: ignore[arg-type]


def test_bytes_are_written_with_three_digits() -> None:
    assert [as_bytes(n) for n in (0, 1023, 1024, 123456, 5 << 40)] == [
        "0 B",
        "1,023 B",
        "1 KiB",
        "121 KiB",
        "5,120 GiB",
    ]


def test_memory_of_the_process_grows_with_what_it_holds() -> None:
    before, peak = resident_memory(), peak_memory()
    if before is None or peak is None:
        pytest.skip("the system does not say")
    held = np.ones(64 << 20, np.uint8)
    after = resident_memory()
    assert after is not None
    assert after - before > 60 << 20
    assert (peak_memory() or 0) >= after - len(held)
    assert free_memory() is None or (free_memory() or 0) > 0


@pytest.mark.parametrize(
    ("root", "line", "limit", "taken", "files"),
    [
        ("", "0::", "memory.max", "memory.current", "inactive_file"),
        (
            "memory",
            "3:cpu,memory:",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file",
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_limits_of_all_groups_of_the_process_count(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    root: str,
    line: str,
    limit: str,
    taken: str,
    files: str,
) -> None:
    top = tmp_path / root
    own = top / "outer" / "inner"
    own.mkdir(parents=True)
    none = str((1 << 63) - 4096) if root else "max"
    for folder, given in ((top, none), (own.parent, str(1 << 20)), (own, str(1 << 30))):
        (folder / limit).write_text(f"{given}\n")
        (folder / taken).write_text("500000\n")
        (folder / "memory.stat").write_text(f"anon 1\n{files} 100000\n")
    (tmp_path / "cgroup").write_text(f"2:blkio:/other\n{line}/outer/inner\n")
    monkeypatch.setattr(host_memory, "_GROUPS", tmp_path)
    monkeypatch.setattr(host_memory, "_OWN_GROUP", tmp_path / "cgroup")
    host_memory.host_memory.cache_clear()
    assert host_memory.host_memory() == 1 << 20
    assert free_memory() == (1 << 20) - 400000
    host_memory.host_memory.cache_clear()
