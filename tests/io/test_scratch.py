"""Scratch copies: scans through one give the rows of the files, whatever is kept and read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeat.errors import InvalidData
from fastfeat.io.sources import scratch as copies
from fastfeat.io.sources.dataset import Dataset, dataset_of
from fastfeat.io.sources.scan import scan
from fastfeat.io.sources.scratch import Scratch, scratch_file

N = 90
ROWS = pa.table(
    {
        "n": pa.array(range(N), pa.int64()),
        "x": pa.array([None if k % 5 == 0 else k / 7 for k in range(N)]),
        "flag": pa.array([None if k % 11 == 0 else k % 3 == 0 for k in range(N)]),
        "text": pa.array([None if k % 7 == 0 else f"key {k}" for k in range(N)], pa.large_string()),
        "list": pa.array([[k] * (k % 4) for k in range(N)], pa.list_(pa.int32())),
        "word": pa.array([f"w{k % 4}" for k in range(N)]).dictionary_encode(),
    }
)
COLUMNS = ROWS.column_names


def files_of(folder: Path, sizes: tuple[int, ...] = (40, 1, 49)) -> Path:
    folder.mkdir()
    first = 0
    for number, size in enumerate(sizes):
        pq.write_table(ROWS.slice(first, size), folder / f"{number}.parquet", row_group_size=13)
        first += size
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files_of(tmp_path_factory.mktemp("rows") / "of")


@pytest.fixture(autouse=True)
def on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_MOUNTS", Path("/nowhere"))


def copied(data: Any, scratch: Scratch | None) -> Dataset:
    assert scratch is not None
    return replace(dataset_of(data), scratch=scratch)


some = st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True)
n_bytes = st.integers(1, 1 << 12)


@given(passes=st.lists(st.tuples(some, some, n_bytes), min_size=1, max_size=5))
def test_rows_are_those_of_the_files(
    folder: Path, passes: list[tuple[list[str], list[str], int]]
) -> None:
    with scratch_file() as scratch:
        dataset, kept = copied(folder, scratch), set[str]()
        for names, keep, most_bytes in passes:
            scanned = list(scan(dataset, names, most_bytes, keep=keep))
            assert pa.concat_tables([of.table for of in scanned]).equals(ROWS.select(names))
            firsts = [of.first_row for of in scanned]
            assert firsts == [
                sum(o.table.num_rows for o in scanned[:k]) for k in range(len(firsts))
            ]
            places = [
                of.place(row)
                for of in scanned
                for row in range(of.first_row, of.first_row + of.table.num_rows)
            ]
            assert [at.removeprefix(f"{folder}{os.sep}") for at in places] == [
                *(f"0.parquet, row {row}" for row in range(40)),
                "1.parquet, row 0",
                *(f"2.parquet, row {row}" for row in range(49)),
            ]
            kept |= {name for name in keep if name in names}
            assert set(dataset.scratch.pieces if dataset.scratch else ()) == kept


@given(start=st.integers(0, N), n=st.integers(0, N), most_bytes=n_bytes)
def test_rows_of_a_range(folder: Path, start: int, n: int, most_bytes: int) -> None:
    with scratch_file() as scratch:
        dataset, names = copied(folder, scratch), ["n", "text"]
        list(scan(dataset, names, 300, keep=names))
        tables = [of.table for of in scan(dataset, names, most_bytes, start=start, stop=start + n)]
        expected = ROWS.select(names).slice(start, n)
        assert pa.concat_tables(tables).equals(expected)


def test_scan_that_is_given_up_keeps_nothing(folder: Path) -> None:
    with scratch_file() as scratch:
        dataset = copied(folder, scratch)
        tables = scan(dataset, ["n"], 64, keep=["n"])
        next(tables)
        tables.close()
        assert scratch is not None
        assert not scratch.pieces
        assert pa.concat_tables([of.table for of in scan(dataset, ["n"])]).equals(
            ROWS.select(["n"])
        )


@pytest.mark.parametrize("why", ["bound", "slow", "full"])
def test_copy_that_does_not_pay_is_given_up(
    folder: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scratch_file() as scratch:
        dataset = copied(folder, scratch)
        assert scratch is not None
        if why == "bound":
            scratch.most_bytes = 4096 + 500
        elif why == "slow":
            monkeypatch.setattr(copies, "_FEW_BYTES", 1)
            monkeypatch.setattr(copies, "_MOST_SLOWER", 0)
        else:
            scratch.file = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115
        for _ in range(2):
            tables = [of.table for of in scan(dataset, COLUMNS, 500, keep=COLUMNS)]
            assert pa.concat_tables(tables).equals(ROWS)
            assert not scratch.pieces
        if why == "full":
            scratch.file.close()
        else:
            assert os.fstat(scratch.file.fileno()).st_size == 0


def test_file_has_no_name_and_is_gone_at_the_end(tmp_path: Path, folder: Path) -> None:
    with scratch_file(tmp_path) as scratch:
        list(scan(copied(folder, scratch), ["n"], keep=["n"]))
        assert scratch is not None
        assert scratch.n_bytes > 0
        assert not list(tmp_path.iterdir())
    assert scratch.file.closed


def test_no_copy_where_there_is_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\ntmpfs {tmp_path.resolve()} tmpfs rw 0 0\n")
    monkeypatch.setattr(copies, "_MOUNTS", mounts)
    with scratch_file(tmp_path) as scratch:
        assert scratch is None
    with scratch_file(tmp_path / "not there") as scratch:
        assert scratch is None
    with scratch_file(tmp_path.parent) as scratch:
        assert scratch is not None


def test_file_that_is_written_anew_is_told_though_a_copy_has_its_rows(tmp_path: Path) -> None:
    folder = files_of(tmp_path / "of")
    with scratch_file() as scratch:
        dataset = copied(folder, scratch)
        list(scan(dataset, ["n"], keep=["n"]))
        pq.write_table(ROWS, folder / "1.parquet")
        with pytest.raises(InvalidData, match=r"1\.parquet was rewritten"):
            list(scan(dataset, ["n"]))


def test_columns_of_a_copy_beside_a_narrow_one_are_as_bounded_as_all_others(tmp_path: Path) -> None:
    n_rows = 20_000
    table = pa.table(
        {
            "narrow": pa.array([True, False] * (n_rows // 2)),
            **{f"wide {k}": pa.array(range(n_rows), pa.int64()) for k in range(8)},
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=700)
    wide = table.column_names[1:]
    with scratch_file() as scratch:
        data = copied(tmp_path / "rows.parquet", scratch)
        for _ in scan(data, wide, 1 << 14, keep=wide):
            pass
        found = list(scan(data, table.column_names, 1 << 16))
        assert max(of.table.num_rows for of in found) <= (1 << 16) / 64
        assert [of.first_row for of in found[1:]] == [
            of.first_row + of.table.num_rows for of in found[:-1]
        ]
        assert pa.concat_tables([of.table for of in found]).equals(table)
        assert [of.place(of.first_row + 1) for of in found] == [
            f"{tmp_path / 'rows.parquet'}, row {of.first_row + 1}" for of in found
        ]
