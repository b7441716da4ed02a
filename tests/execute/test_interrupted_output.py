"""Outputs that were interrupted: by kill -9, a full disk, another process, a changed folder.

What a reader sees is whole or not there, and the same call goes on behind the parts that are done.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.io.sinks import output_folder
from fastfeat.io.sinks.manifest import NAME, read_manifest
from fastfeat_tests.patience import halted

N_ROWS, PART_ROWS = 60_000, 2_000
WRITE = """
import sys, fastfeat as ff
ff.load("plan.fastfeat").transform_to("data.parquet", "out", part_rows=int(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with a fitted plan and its data, of 30 parts."""
    numbers = np.random.default_rng(0).standard_normal(N_ROWS)
    data = pa.table({"id": np.arange(N_ROWS), "x": numbers})
    pq.write_table(data, tmp_path / "data.parquet")
    monkeypatch.chdir(tmp_path)
    plan = ff.Plan({"y": col("x").standard_scale(), "z": col("x") * 2}, keep=["id"])
    plan.fit(data).save("plan.fastfeat")
    return tmp_path


def transform(out: str = "out", **options: Any) -> Any:
    fitted = ff.load("plan.fastfeat")
    return fitted.transform_to("data.parquet", out, **{"part_rows": PART_ROWS, **options})


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file of a folder, by its path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


ADD_PART = "fastfeat.execute.to_files.add_part"
"""Its caller has written a part, and the manifest is about to name it."""


def n_parts(folder: Path) -> int:
    return len(list(folder.glob(".out.unfinished/part-*.parquet")))


def interrupted_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin an output, and interrupt it when so many parts are done."""
    add_part = output_folder.add_part

    def failing(*args: Any) -> Any:
        made = add_part(*args)
        if len(made.parts) == n:
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as patched:
        patched.setattr("fastfeat.execute.to_files.add_part", failing)
        with pytest.raises(KeyboardInterrupt):
            transform()


def test_kill_at_any_point_leaves_all_or_nothing_and_resumes(folder: Path) -> None:
    transform("whole")
    expected = contents(folder / "whole")
    kept: dict[str, int] = {}
    for nth, when in ((2, "before"), (16, "after")):  # of those that are left
        with halted(ADD_PART, WRITE, str(PART_ROWS), nth=nth, when=when) as process:
            assert not (folder / "out").exists()
            process.kill()
            process.wait()
        manifest = read_manifest(folder / ".out.unfinished")
        assert manifest is not None
        found = {
            f.name: (folder / ".out.unfinished" / f.name).stat().st_ino for f in manifest.files
        }
        assert kept.items() <= found.items()  # no finished part is written again
        kept = found
    assert len(kept) == 1 + 16
    subprocess.run([sys.executable, "-c", WRITE, str(PART_ROWS)], check=True)
    assert contents(folder / "out") == expected
    assert {name: (folder / "out" / name).stat().st_ino for name in kept} == kept
    assert not (folder / ".out.unfinished").exists()


def test_a_part_that_was_not_finished_is_written_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_after(3, monkeypatch)
    begun = folder / ".out.unfinished"
    (begun / "part-000003.parquet").write_bytes(b"half of it")
    (begun / ".0123456789abcdef.partial").write_bytes(b"less")
    (begun / "x=1").mkdir()
    (begun / "x=1" / "part-000003.parquet").write_bytes(b"")
    transform()
    transform("whole")
    assert contents(folder / "out") == contents(folder / "whole")


def test_a_call_that_failed_at_once_hinders_no_other(folder: Path) -> None:
    bad = pa.table({"id": [0, 1], "x": pa.array([1, 400])})
    pq.write_table(bad, "bad.parquet")
    fitted = ff.Plan({"y": col("x").cast("int8")}).fit(bad.slice(0, 1))
    with pytest.raises(ff.errors.Overflow):
        fitted.transform_to("bad.parquet", "out")
    assert transform().n_rows == N_ROWS
    assert not (folder / ".out.unfinished").exists()


def test_the_same_call_once_more_does_nothing(folder: Path) -> None:
    first = transform()
    changed = {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()}
    assert transform() == first
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").iterdir()} == changed


def test_an_output_that_was_whole_but_not_moved_is_moved(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            transform()
    assert not (folder / "out").exists()
    assert transform().n_rows == N_ROWS
    assert (folder / "out" / NAME).exists()


def _limit_files(n_bytes: int) -> Callable[[], None]:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

    return limit


def test_a_file_that_cannot_grow_is_told_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_after(2, monkeypatch)
    command = [sys.executable, "-c", WRITE, str(PART_ROWS)]
    n_bytes = (folder / ".out.unfinished" / "part-000000.parquet").stat().st_size
    found = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=_limit_files(n_bytes // 2)
    )
    told = "OutputError: cannot write out: File too large. Already on disk: 2 parts with 4,000 rows"
    assert told in found.stderr
    assert not (folder / "out").exists()
    assert n_parts(folder) == 2
    assert list((folder / ".out.unfinished").glob(".*")) == []
    assert transform().n_rows == N_ROWS


def test_a_full_disk_is_told_and_resumed(folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("only who may mount can have a disk of 600 kB")
    try:
        with pytest.raises(ff.errors.OutputError, match=r"No space left on device\. .* continues"):
            transform("disk/out")
        assert [path.name for path in disk.iterdir()] == [".out.unfinished"]
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        assert transform("disk/out").n_rows == N_ROWS
        transform("whole")
        assert contents(disk / "out") == contents(folder / "whole")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_processes_do_not_write_one_folder(folder: Path) -> None:
    with halted(ADD_PART, WRITE, str(PART_ROWS)) as process:
        with pytest.raises(ff.errors.OutputError, match="is being written by another process"):
            transform()
        process.kill()
        process.wait()


def _other_plan(folder: Path) -> None:
    ff.Plan({"y": col("x")}, keep=["id"]).fit("data.parquet").save("plan.fastfeat")


def _other_data(folder: Path) -> None:
    pq.write_table(pq.read_table("data.parquet").slice(1), "data.parquet")


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        (_other_plan, {}, "has features of another fitted plan"),
        (_other_data, {}, "from other data, or from files that have changed since"),
        (None, {"format": "ipc"}, "has features in another format"),
        (None, {"part_rows": 50}, "has features in parts with another number of rows"),
        (None, {"partition_by": "id"}, "has features partitioned by other columns"),
    ],
)
def test_a_folder_of_something_else_is_not_mixed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None] | None,
    options: dict[str, Any],
    told: str,
    is_whole: bool,
) -> None:
    if is_whole:
        transform()
    else:
        interrupted_after(2, monkeypatch)
    if change is not None:
        change(folder)
    with pytest.raises(ff.errors.OutputError, match=f"{told}: remove .*out"):
        transform(**options)


def test_other_lookup_tables_are_not_mixed(folder: Path) -> None:
    plan = ff.Plan({"y": ff.lookup("names", by="id").col("name")})
    tables = {"names": pa.table({"id": [1, 2], "name": [10, 20]})}
    fitted = plan.fit("data.parquet", tables=tables)
    first = fitted.transform_to("data.parquet", "out", tables=tables)
    same = {"names": pa.table({"name": [10, 20], "more": ["a", "b"], "id": [1, 2]})}
    assert fitted.transform_to("data.parquet", "out", tables=same) == first
    other = {"names": pa.table({"id": [1, 2], "name": [10, 21]})}
    with pytest.raises(ff.errors.OutputError, match="computed with other lookup tables"):
        fitted.transform_to("data.parquet", "out", tables=other)


def test_data_in_memory_is_not_known_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, data = ff.load("plan.fastfeat"), pq.read_table("data.parquet")
    interrupted_after(2, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr("fastfeat.execute.to_files.publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fitted.transform_to(data, "of_memory")
    assert not (folder / ".of_memory.unfinished").exists()
    fitted.transform_to(data, "of_memory")
    with pytest.raises(ff.errors.OutputError, match="can be checked only if the data is in files"):
        fitted.transform_to(data, "of_memory")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _altered(path: Path) -> None:
    path.write_text(path.read_text().replace('"part_rows": 2000', '"part_rows": 2001'))


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _no_manifest(path: Path) -> None:
    path.write_text("[]")


def _later(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("damage", [_cut, _altered, _emptied, _no_manifest, _later])
def test_a_damaged_manifest_is_told(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    is_whole: bool,
) -> None:
    if is_whole:
        transform()
    else:
        interrupted_after(2, monkeypatch)
    damage(folder / ("out" if is_whole else ".out.unfinished") / NAME)
    told = "has format 2; this version reads 1" if damage is _later else "is damaged: remove"
    with pytest.raises(ff.errors.OutputError, match=f"{NAME} {told}"):
        transform()


def test_a_part_that_was_changed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_after(2, monkeypatch)
    part = folder / ".out.unfinished" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ff.errors.OutputError, match=r"part-000001.parquet has .* bytes, but"):
        transform()
    part.unlink()
    with pytest.raises(ff.errors.OutputError, match=r"but cannot be found \(No such file"):
        transform()


def test_other_files_are_left_alone(folder: Path) -> None:
    (folder / "out").mkdir()
    transform()  # an empty folder is taken
    (folder / "other").mkdir()
    (folder / "other" / "a.txt").write_text("mine")
    with pytest.raises(ff.errors.OutputError, match="other contains other files"):
        transform("other")
    (folder / "file").write_text("mine")
    with pytest.raises(ff.errors.OutputError, match="file is a file"):
        transform("file")
    assert contents(folder / "other") == {"a.txt": b"mine"}


def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    (folder / "file").write_text("mine")
    with pytest.raises(ff.errors.OutputError, match="cannot write file/out: Not a directory"):
        transform("file/out")
    with pytest.raises(ff.errors.OutputError, match=r"cannot write none/out\.arrow: No such file"):
        ff.load("plan.fastfeat").transform_to("data.parquet", "none/out.arrow")
