"""Scans of data sets: the rows of files, tables and functions, in order, in bounded tables."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.dataset as ds
import pyarrow.fs as fs
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastfeat.errors import InvalidData, TypeMismatch, UnknownColumn
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.file_parts import FilePart
from fastfeat.io.sources.read import read_table
from fastfeat.io.sources.scan import ScannedTable, scan


def rows(first: int, n: int) -> Any:
    numbers = range(first, first + n)
    texts = [None if k % 7 == 0 else f"key {k}" for k in numbers]
    return pa.table({"k": pa.array(numbers, pa.int64()), "s": pa.array(texts, pa.string())})


def write_ipc(table: Any, path: str) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, 4)


def write_stream(table: Any, path: str) -> None:
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, 4)


WRITERS: dict[str, Callable[[Any, str], None]] = {
    "parquet": lambda table, path: pq.write_table(table, path, row_group_size=5),
    "arrow": write_ipc,
    "arrows": write_stream,
    "csv": csv.write_csv,
}


def folder_of(folder: Path, suffix: str, sizes: tuple[int, ...] = (7, 1, 12)) -> Path:
    first = 0
    for number, n in enumerate(sizes):
        WRITERS[suffix](rows(first, n), str(folder / f"part-{number}.{suffix}"))
        first += n
    return folder


def read(data: Any, *args: Any, **named: Any) -> Any:
    return pa.concat_tables([of.table for of in scan(dataset_of(data), *args, **named)])


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("most_bytes", [1, 100, 1 << 20])
def test_scan_gives_the_rows_of_a_folder_by_name(
    tmp_path: Path, suffix: str, most_bytes: int
) -> None:
    dataset = dataset_of(folder_of(tmp_path, suffix))
    scanned = list(scan(dataset, most_bytes=most_bytes))
    whole = pa.concat_tables([of.table for of in scanned])
    assert whole.equals(rows(0, 20))
    assert dataset.schema.equals(whole.schema)
    assert dataset.n_rows in (20, None if suffix.startswith("arrow") else 20)
    firsts = [of.first_row for of in scanned]
    assert firsts == [sum(of.table.num_rows for of in scanned[:k]) for k in range(len(scanned))]
    assert all(of.table.nbytes <= most_bytes or of.table.num_rows == 1 for of in scanned)
    assert len(scanned) == 1 or most_bytes < 1 << 20


@pytest.mark.parametrize("suffix", WRITERS)
@settings(max_examples=15)
@given(start=st.integers(0, 22), length=st.integers(0, 22), most_bytes=st.integers(1, 300))
def test_scan_from_a_row_to_a_row(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, start: int, length: int, most_bytes: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"ranges-{suffix}"
    if not folder.exists():
        folder.mkdir()
        folder_of(folder, suffix)
    scanned = list(scan(dataset_of(folder), None, most_bytes, start=start, stop=start + length))
    whole = pa.concat_tables([of.table for of in scanned])
    assert whole.equals(rows(0, 20).slice(start, length))
    assert scanned[0].first_row == start or whole.num_rows == 0


@pytest.mark.parametrize("suffix", WRITERS)
def test_scan_reads_only_the_columns_that_are_there(tmp_path: Path, suffix: str) -> None:
    folder = folder_of(tmp_path, suffix)
    assert read(folder, ["s", "none"]).column_names == ["s"]
    assert [of.table.num_rows for of in scan(dataset_of(folder), [])] == [20]


def test_place_is_the_row_in_its_file(tmp_path: Path) -> None:
    (scanned,) = scan(dataset_of(folder_of(tmp_path, "parquet")))
    assert scanned.place(0) == f"{tmp_path}/part-0.parquet, row 0"
    assert scanned.place(7) == f"{tmp_path}/part-1.parquet, row 0"
    assert scanned.place(19) == f"{tmp_path}/part-2.parquet, row 11"


def test_scan_of_tables_readers_and_functions() -> None:
    table = rows(0, 20)
    batches = table.to_batches(6)
    assert read(table).equals(table)
    assert read(lambda: pa.RecordBatchReader.from_batches(table.schema, batches)).equals(table)
    assert read(lambda: batches).equals(table)
    assert read(lambda: ({"k": [k]} for k in range(3))).to_pydict() == {"k": [0, 1, 2]}
    assert read(lambda: table).equals(table)
    assert read(iter(batches)).equals(table)
    assert read(ds.dataset(table)).equals(table)
    twice = dataset_of(lambda: batches)
    assert [sum(of.table.num_rows for of in scan(twice)) for _ in range(2)] == [20, 20]


@pytest.mark.parametrize(
    "make", [iter, lambda b: pa.RecordBatchReader.from_batches(b[0].schema, b)]
)
def test_reader_is_read_once(make: Callable[[Any], Any]) -> None:
    dataset = dataset_of(make(rows(0, 20).to_batches(6)))
    dataset.check_passes(1)
    with pytest.raises(InvalidData, match="can be read once, but its rows are needed 2 times"):
        dataset.check_passes(2)
    assert sum(of.table.num_rows for of in scan(dataset)) == 20
    with pytest.raises(InvalidData, match="can be read once, and was already read"):
        next(scan(dataset))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda rows: rows, "function as data is called without arguments"),
        (lambda: {"k": [1]}, "the function returned dict"),
        (lambda: 7, "the function returned int"),
        (lambda: iter(()), "returned no table"),
    ],
)
def test_function_that_gives_no_tables_is_an_error(make: Any, told: str) -> None:
    with pytest.raises((TypeMismatch, InvalidData), match=told):
        dataset_of(make)


def test_reader_that_was_read_elsewhere_is_an_error() -> None:
    table = rows(0, 3)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    dataset = dataset_of(reader)
    assert read_table(reader).equals(table)
    with pytest.raises(InvalidData, match="was already read"):
        dataset_of(reader)
    with pytest.raises(InvalidData, match="was already read"):
        next(scan(dataset))


def test_scan_that_is_left_as_the_interpreter_ends_says_nothing() -> None:
    program = """
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.scan import scan
tables = scan(dataset_of({"x": list(range(1000))}), most_bytes=80)
print(next(tables).first_row)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert (ended.stdout.strip(), ended.stderr) == (b"0", b"")


def test_scan_reads_one_table_ahead_and_ends_its_thread() -> None:
    taken: list[int] = []

    def tables() -> Iterator[Any]:
        for k in range(10):
            taken.append(k)
            yield rows(k, 1)

    dataset = dataset_of(tables)
    taken.clear()
    scanned = scan(dataset, most_bytes=1)
    before = threading.active_count()
    next(scanned)
    scanned.close()
    assert len(taken) <= 3  # one given, one ready, and the one that showed where that ends
    assert threading.active_count() <= before


def test_scan_of_an_empty_data_set_gives_its_columns(tmp_path: Path) -> None:
    pq.write_table(rows(0, 0), tmp_path / "none.parquet")
    (scanned,) = scan(dataset_of(tmp_path), ["s"])
    assert scanned == ScannedTable(rows(0, 0).select(["s"]), 0, ())


def test_partitions_are_columns(tmp_path: Path) -> None:
    for year, city in [("2025", "a%20b"), ("2024", "__HIVE_DEFAULT_PARTITION__")]:
        folder = tmp_path / f"year={year}" / f"city={city}"
        folder.mkdir(parents=True)
        pq.write_table(rows(int(year), 2), folder / "x.parquet")
    (tmp_path / "_manifest.json").write_text("{}")
    assert read(tmp_path, ["city", "k", "year"]).to_pydict() == {
        "city": [None, None, "a b", "a b"],
        "k": [2024, 2025, 2025, 2026],
        "year": [2024, 2024, 2025, 2025],
    }
    assert read(f"{tmp_path}/year=*/*/*.parquet", ["year"]).num_rows == 4
    assert read(tmp_path, ["year"]).schema.field("year").type == pa.int64()


def test_pattern_list_and_address_give_the_same_rows(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "parquet")
    (folder / "part-9.csv").write_text("k\n1\n")
    paths = sorted(folder.glob("*.parquet"))
    for data in (
        f"{folder}/*.parquet",
        f"{folder}/**/part-[0-2].parquet",
        f"file://{folder}/p*.parquet",
        paths,
    ):
        assert read(data).equals(rows(0, 20))
    assert read([paths[1], paths[0]]).equals(pa.concat_tables([rows(7, 1), rows(0, 7)]))
    assert read(ds.dataset(paths)).equals(rows(0, 20))
    with pytest.raises(InvalidData, match="a data set must have one format"):
        dataset_of(folder)
    with pytest.raises(InvalidData, match=r"passed twice.*part-0"):
        dataset_of([*paths, paths[0]])


def test_arrow_dataset_keeps_its_filter_and_partitions(tmp_path: Path) -> None:
    for year in (2024, 2025):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(rows(year, 3), tmp_path / f"year={year}" / "x.parquet")
    dataset = ds.dataset(tmp_path, partitioning="hive")
    assert read(dataset).equals(dataset.to_table())
    assert dataset_of(dataset).n_rows == 6
    kept = dataset.filter(ds.field("k") > 2024)
    assert read(kept).equals(kept.to_table())


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int32(), pa.int64(), pa.int64()),
        (pa.uint8(), pa.int16(), pa.int64()),
        (pa.float32(), pa.float64(), pa.float64()),
        (pa.int64(), pa.float64(), pa.float64()),
        (pa.null(), pa.int8(), pa.int8()),
        (pa.timestamp("s", "UTC"), pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
    ],
)
def test_types_that_differ_are_widened(tmp_path: Path, one: Any, other: Any, both: Any) -> None:
    for types in ((one, other), (other, one)):
        for name, dtype in zip("ab", types, strict=True):
            values = [None] if pa.types.is_null(dtype) else [3]
            pq.write_table(pa.table({"x": pa.array(values, dtype)}), tmp_path / f"{name}.parquet")
        assert read(tmp_path).schema.field("x").type == both


def test_value_that_is_none_of_the_wider_type_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [0.5]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [2**53 + 1]}), tmp_path / "b.parquet")
    with pytest.raises(InvalidData, match=r"b\.parquet: col\(.x.\) is int64 here and double"):
        read(tmp_path)


def test_columns_that_differ_are_an_error_where_they_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [0.5], "y": [1], "z": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": ["t"], "y": [2], "w": [1]}), tmp_path / "b.parquet")
    dataset = dataset_of(tmp_path)
    assert dataset.schema.names == ["y"]
    assert read(tmp_path, ["y"]).to_pydict() == {"y": [1, 2]}
    with pytest.raises(
        TypeMismatch, match=r"x.\) is double in .*a\.parquet and string in .*b\.par"
    ):
        scan(dataset, ["x"])
    with pytest.raises(UnknownColumn, match=r"b\.parquet lacks col\(.z.\), which .*a\.parquet has"):
        scan(dataset, ["z"])
    with pytest.raises(UnknownColumn, match=r"a\.parquet lacks col\(.w.\), which .*b\.parquet has"):
        scan(dataset, ["w"])


def test_csv_has_the_types_of_all_of_its_values(tmp_path: Path) -> None:
    n = 200_000
    lines = ["a,b,c,d\n", *["1,2020-01-01,,7\n"] * n, "1.5,x,5,8\n"]
    (tmp_path / "a.csv").write_text("".join(lines))
    (tmp_path / "b.csv").write_text("a,b,c,d\n2,y,3,true\n")
    whole = csv.read_csv(tmp_path / "a.csv")
    assert read(tmp_path / "a.csv", most_bytes=1 << 20).equals(whole)
    both = dataset_of(tmp_path)
    assert [str(t) for t in both.schema.types] == ["double", "string", "int64", "string"]
    assert both.n_rows == n + 2
    assert read(tmp_path, ["d"]).column("d")[-1].as_py() == "true"


def test_damaged_files_are_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "parquet")
    last = folder / "part-2.parquet"
    whole = last.read_bytes()
    last.write_bytes(whole[:-20])
    with pytest.raises(InvalidData, match=r"part-2\.parquet: cannot be read"):
        dataset_of(folder)
    last.write_bytes(b"")
    with pytest.raises(InvalidData, match=r"part-2\.parquet: the file is empty"):
        dataset_of(folder)
    with pytest.raises(InvalidData, match=r"no such file: .*/none"):
        dataset_of(folder / "none")
    with pytest.raises(InvalidData, match="no file matches"):
        dataset_of(f"{folder}/*.arrow")
    (folder / "void").mkdir()
    with pytest.raises(InvalidData, match="has no files"):
        dataset_of(folder / "void")


def test_file_that_changes_is_an_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "parquet")
    dataset = dataset_of(folder)
    pq.write_table(rows(0, 3), folder / "part-1.parquet")
    with pytest.raises(InvalidData, match=r"part-1\.parquet was rewritten after"):
        list(scan(dataset))
    (folder / "part-1.parquet").unlink()
    with pytest.raises(InvalidData, match=r"part-1\.parquet was removed after"):
        list(scan(dataset))


def test_large_row_groups_are_cut(tmp_path: Path) -> None:
    n = 100_000
    text = "x" * 100
    table = pa.table({"k": range(n), "s": pa.array([text] * n)})
    pq.write_table(table, tmp_path / "one.parquet", row_group_size=n)
    sizes = [of.table.nbytes for of in scan(dataset_of(tmp_path), most_bytes=1 << 20)]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) >= 100 * n


def test_tiny_files_are_no_table_of_many_arrays(tmp_path: Path) -> None:
    pq.write_table(rows(0, 2), tmp_path / "0.parquet")
    for number in range(1, 400):
        os.link(tmp_path / "0.parquet", tmp_path / f"{number}.parquet")
    dataset = dataset_of(tmp_path)
    scanned = list(scan(dataset, most_bytes=1 << 18))
    assert [of.table.num_rows for of in scanned[:-1]] == [scanned[0].table.num_rows] * 4
    assert sum(of.table.num_rows for of in scanned) == 800
    parts = [part for part in dataset.parts if isinstance(part, FilePart)]
    assert len({id(part.schema) for part in parts}) == 1


def test_address_that_fsspec_opens() -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for number, table in enumerate((rows(0, 7), rows(7, 13))):
        with memory.open(f"/scanned/part={number}/a.parquet", "wb") as file:
            pq.write_table(table, file)
    for address in ("memory://scanned", "memory://scanned/part=*/*.parquet"):
        dataset = dataset_of(address)
        assert dataset.parts[1].name == "memory://scanned/part=1/a.parquet"
        assert read(address, ["k", "s"], 100).equals(rows(0, 20))
    memory.rm("/scanned", recursive=True)


def test_files_of_another_file_system_are_read_through_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "parquet")
    below = fs.SubTreeFileSystem(str(tmp_path.parent), fs.LocalFileSystem())
    dataset = dataset_of(ds.dataset(folder.name, filesystem=below))
    assert [part.name for part in dataset.parts] == [
        f"{folder.name}/part-{k}.parquet" for k in range(3)
    ]
    assert pa.concat_tables([of.table for of in scan(dataset, None, 100)]).equals(rows(0, 20))


def test_a_folder_of_other_files_too_is_told_of_patterns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    (tmp_path / "readme.txt").write_text("what this is")
    with pytest.raises(InvalidData, match=r"readme\.txt: neither .*with a pattern: folder/"):
        dataset_of(tmp_path)
    assert dataset_of(str(tmp_path / "*.parquet")).n_rows == 1
