"""Files that are cut, damaged, locked away or changed while they are read: named, each of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, OutputError
from fastfeat.io.sources import delimited
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.read import read_table
from fastfeat.io.sources.scan import scan
from fastfeat.learn import passes

N_ROWS = 3_000
RNG = np.random.default_rng(0)
ROWS: Any = pa.table(
    {
        "x": RNG.standard_normal(N_ROWS),
        "k": [f"key {k}" for k in RNG.integers(0, 40, N_ROWS)],
        "y": RNG.integers(0, 2, N_ROWS),
    }
)


def write_ipc(table: Any, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, 1_000)


def write_stream(table: Any, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, 1_000)


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "parquet": pq.write_table,
    "arrow": write_ipc,
    "arrows": write_stream,
}


def scanned(data: Any) -> int:
    return sum(of.table.num_rows for of in scan(dataset_of(data)))


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_that_is_cut_anywhere_is_named(tmp_path: Path, suffix: str) -> None:
    whole, cut = tmp_path / f"whole.{suffix}", tmp_path / f"cut.{suffix}"
    WRITERS[suffix](ROWS, whole)
    content = whole.read_bytes()
    assert scanned(whole) == read_table(whole).num_rows == N_ROWS
    ends = [0, 3, 8, 100, len(content) // 3, len(content) - 9, len(content) - 8, len(content) - 1]
    for end in [*ends, *map(int, RNG.integers(0, len(content), 20))]:
        cut.write_bytes(content[:end])
        for read in (scanned, read_table):
            with pytest.raises(InvalidData, match=rf"cut\.{suffix}"):
                read(cut)


def test_a_stream_without_an_end_may_lack_batches(tmp_path: Path) -> None:
    path = tmp_path / "rows.arrows"
    write_stream(ROWS, path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    with pytest.raises(InvalidData, match="the stream has no end: it was cut off"):
        dataset_of(path)
    # streams of Arrow before 0.15 begin and end otherwise
    version = pa.ipc.MetadataVersion.V4
    legacy = pa.ipc.IpcWriteOptions(use_legacy_format=True, metadata_version=version)
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_stream(sink, ROWS.schema, options=legacy) as writer,
    ):
        writer.write_table(ROWS)
    assert scanned(path) == read_table(path).num_rows == N_ROWS


def test_a_quote_that_no_other_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_MOST", 1 << 20)
    path = tmp_path / "rows.csv"
    path.write_bytes(b'x,k\n1,"a\n' + b"2,b\n" * 800_000)
    for read in (scanned, read_table):
        with pytest.raises(InvalidData, match=r"rows\.csv: cannot be read: a row is longer "):
            read(path)


@pytest.mark.parametrize("change", ["other", "fewer", "gone", "text", "touched"])
def test_a_file_that_changes_between_passes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    for name in ("a.parquet", "b.parquet"):
        pq.write_table(ROWS, tmp_path / name)
    changed, next_round = tmp_path / "b.parquet", passes.next_round

    def changing(*args: Any) -> Any:
        match change:
            case "other":
                pq.write_table(ROWS.slice(0, 10).take(list(range(10)) * 300), changed)
            case "fewer":
                pq.write_table(ROWS.slice(0, 10), changed)
            case "gone":
                changed.unlink(missing_ok=True)
            case "text":
                changed.write_text("no table")
            case _:
                os.utime(changed)
        return next_round(*args)

    monkeypatch.setattr(passes, "next_round", changing)
    plan = ff.Plan({"x": col("x").impute("mean").standard_scale()})
    told = "removed" if change == "gone" else "rewritten"
    with pytest.raises(InvalidData, match=rf"b\.parquet was {told} after it was first read"):
        plan.fit(tmp_path, memory="8GiB")


def test_a_function_that_gives_other_rows_is_told() -> None:
    # the second pass reads a column that the first one does not
    plan = ff.Plan({"x": ((col("x") - col("x").mean()) * col("y")).standard_scale()})
    reader = pa.RecordBatchReader.from_batches(ROWS.schema, ROWS.to_batches(500))
    with pytest.raises(InvalidData, match=r"function gave 3,000 rows at first, and 0 in pass 2"):
        plan.fit(lambda: reader, memory="8GiB")
    calls: list[None] = []

    def fewer() -> Iterator[Any]:
        calls.append(None)
        yield from ROWS.to_batches(500)[: -len(calls)]

    with pytest.raises(InvalidData, match=r"gave 2,000 rows at first, and 1,500 in pass 2\. It"):
        plan.fit(fewer, memory="8GiB")


def test_a_disk_that_fills_while_states_are_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(passes, "_spill", full)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    told = r"^states of the rows cannot be written to .*: No space left on device"
    with pytest.raises(OutputError, match=told):
        ff.Plan({"x": col("k").ordinal_encode()}).fit(ROWS, memory="8GiB")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process takes another user")
def test_what_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    for name in ("one.parquet", "folder/a.parquet"):
        pq.write_table(ROWS, name)
    csv.write_csv(ROWS, "one.csv")
    is_root = os.getuid() == 0
    os.chmod(tmp_path, 0o755)
    for path in ("one.parquet", "one.csv", "folder"):
        os.chmod(path, 0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if is_root:
                os.setgid(65534)
                os.setuid(65534)
            for data in ("one.parquet", "one.csv", "folder", "folder/a.parquet", "folder/*"):
                for read in (dataset_of, read_table):
                    with pytest.raises(InvalidData, match=r": cannot be .*ermission denied") as of:
                        read(data)
                    assert str(of.value).startswith(f"{data}: ")
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    os.chmod("folder", 0o755)
    assert os.waitstatus_to_exitcode(status) == 0, capfd.readouterr().err
