"""Files in and out: Parquet, Arrow IPC, Feather and CSV; damaged, missing, unwritable."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.io.columns.types import schema_of
from fastfeat.io.sinks.atomic import write_bytes
from fastfeat.io.sinks.write import write_table
from fastfeat.io.sources.read import read_table

TABLE = pa.table(
    {
        "a": pa.array([1, None, 3]),
        "x": [0.5, None, 2.5],
        "s": ["x", None, "z, \n"],
        "t": pa.array([0, None, 86_400], pa.timestamp("s", "UTC")),
        "b": [True, None, False],
    }
)
SUFFIXES = [".parquet", ".pq", ".arrow", ".feather", ".ipc", ".arrows", ".csv", ".tsv"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("as_text", [True, False])
def test_a_written_table_is_read_back(tmp_path, suffix, as_text):
    path = tmp_path / f"größe table{suffix}"
    write_table(TABLE, str(path) if as_text else path)
    assert read_table(str(path) if as_text else path).to_pydict() == TABLE.to_pydict()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_the_wanted_columns_of_a_file_come_in_their_order(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(TABLE, path)
    table = read_table(path, ["s", "nowhere", "a"])
    assert table.to_pydict() == {"s": TABLE["s"].to_pylist(), "a": [1, None, 3]}
    nothing = read_table(path, ["nowhere"])
    assert (nothing.num_columns, nothing.num_rows) == (0, 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_zero_rows_are_written_and_read(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(TABLE[:0], path)
    table = read_table(path)
    assert (table.num_rows, table.column_names) == (0, TABLE.column_names)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
def test_an_unknown_suffix_is_known_by_its_first_bytes(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(TABLE, path)
    renamed = path.rename(tmp_path / "data.bin")
    assert read_table(renamed, ["a"]).to_pydict() == {"a": [1, None, 3]}


def test_an_arrow_file_is_mapped_and_a_stream_under_its_suffix_is_read(tmp_path):
    path = tmp_path / "t.arrow"
    write_table(pa.table({"w": np.zeros(100_000), "x": np.arange(100_000.0)}), path)
    before = pa.total_allocated_bytes()
    table = read_table(path, ["x"])
    assert pa.total_allocated_bytes() - before < 100_000
    assert table["x"][99_999].as_py() == 99_999.0
    write_table(TABLE, tmp_path / "s.arrows")
    stream = (tmp_path / "s.arrows").rename(tmp_path / "s.arrow")
    assert read_table(stream).equals(TABLE)


def test_files_of_other_libraries_are_read(tmp_path):
    frame = pl.DataFrame({"a": [1, None], "c": ["x", "y"]})
    frame.write_parquet(tmp_path / "p.parquet")
    frame.write_ipc(tmp_path / "p.arrow")
    frame.write_ipc_stream(tmp_path / "p.arrows")
    frame.write_csv(tmp_path / "p.csv")
    feather.write_feather(pa.table(frame.to_arrow()), tmp_path / "c.feather", compression="lz4")
    frame.to_pandas().to_parquet(tmp_path / "pandas.parquet")
    for path in tmp_path.iterdir():
        found = read_table(path).to_pydict()
        assert found["c"] == ["x", "y"], path
        assert [None if v != v else v for v in found["a"]] == [1, None], path


def test_compressed_csv_is_read(tmp_path):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,\n2,x\n"))
    assert read_table(path).to_pydict() == {"a": [1, 2], "b": [None, "x"]}


def test_csv_types_are_found_over_the_whole_file_and_empty_fields_are_missing(tmp_path):
    path = tmp_path / "t.csv"
    rows = "\n".join(f"{i},,2020-01-01,x" for i in range(200_000))
    path.write_text(f"n,e,d,s\n{rows}\n0.5,text,2020-01-02,NA\n1,,,\n")
    table = read_table(path)
    assert [str(d) for d in schema_of(table).values()] == ["float64", "utf8", "date32", "utf8"]
    assert table["n"].to_pylist()[-2:] == [0.5, 1.0]
    assert table["e"].null_count == 200_001
    assert table["s"].to_pylist()[-2:] == ["NA", None]  # text is not guessed to be missing


def test_a_csv_with_one_name_twice_is_an_error_only_if_wanted(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,a\n1,2,3\n")
    assert read_table(path, ["b"]).to_pydict() == {"b": [2]}
    with pytest.raises(InvalidData, match=r'2 columns named col\("a"\)'):
        read_table(path)


def test_parquet_names_with_dots_are_not_paths_into_structs(tmp_path):
    table = pa.table({"a": [{"b": 1}], "a.b": [2], "c": [3]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", ["a.b"]).to_pydict() == {"a.b": [2]}
    assert read_table(tmp_path / "t.parquet", ["a", "c"]).to_pydict() == {"a": [{"b": 1}], "c": [3]}


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("t.parquet", b"PAR1 and then nothing", "cannot be read"),
        ("t.parquet", b"a,b\n1,2\n", "cannot be read"),
        ("t.arrow", b"ARROW1\0\0 and then nothing", "cannot be read"),
        ("t.arrows", b"\xff\xff\xff\xff\x10\0\0\0", "cannot be read"),
        ("t.csv", b"a,b\n1,2\n3\n", "cannot be read: .*Expected 2 columns, got 1"),
        ("t.csv", b"", "the file is empty"),
        ("t.xlsx", b"PK\x03\x04", r"neither its suffix nor its first bytes .*\.parquet"),
        ("t", b"a,b\n1,2\n", r"neither its suffix nor its first bytes .*\.csv"),
    ],
)
def test_a_damaged_or_unknown_file_is_an_error_that_names_it(tmp_path, name, content, text):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=text) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".arrows"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write_table(pa.table({"x": np.random.default_rng(1).random(10_000)}), path)
    content = path.read_bytes()
    for part in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(InvalidData, match=f"t{suffix}: cannot be read"):
            read_table(path)


def test_csv_text_that_is_not_utf8_is_no_text(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,2\n")
    found = schema_of(read_table(tmp_path / "t.csv"))
    assert [str(dtype) for dtype in found.values()] == ["binary", "int64"]


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(InvalidData, match=r"^no such file: .*nowhere\.csv"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(InvalidData, match="has no files"):
        read_table(tmp_path)
    with pytest.raises(InvalidData, match="too long"):
        read_table("x" * 5000 + ".csv")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere://bucket/t.csv", r"^nowhere://bucket/t\.csv: no installed .* nowhere://\. "),
        ("part-*.csv", r"^no file matches part-\*\.csv"),
    ],
)
def test_an_address_without_file_system_and_a_pattern_without_file_are_errors(path, told):
    with pytest.raises(InvalidData, match=told):
        read_table(path)


def test_a_file_without_columns_is_an_error(tmp_path):
    pq.write_table(pa.table({}), tmp_path / "t.parquet")
    with pytest.raises(InvalidData, match="the file has no columns"):
        read_table(tmp_path / "t.parquet")


def test_a_table_that_a_format_cannot_hold_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(FastfeatError, match=r"cannot write .*t\.csv"):
        write_table(pa.table({"l": [[1, 2]]}), tmp_path / "t.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(FastfeatError, match=r"unknown suffix '\.xlsx'\. Known: \.parquet"):
        write_table(TABLE, tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_missing_or_is_a_file_is_an_error_that_names_the_path(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("nowhere", "file"):
        path = tmp_path / folder / "t.parquet"
        with pytest.raises(FastfeatError, match=r"cannot write .*t\.parquet") as caught:
            write_table(TABLE, path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv"])
def test_a_path_with_a_nul_is_an_error_that_says_so(tmp_path, suffix):
    with pytest.raises(FastfeatError, match=r"cannot write .*its name contains a NUL character"):
        write_table(TABLE, tmp_path / f"a\0b{suffix}")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    def interrupt(*paths):
        raise KeyboardInterrupt

    write_bytes(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"old"]


def test_private_files_are_those_of_the_user_alone(tmp_path):
    write_bytes(tmp_path / "private", b"", private=True)
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FastfeatError, match="Permission denied"):
        write_table(TABLE, tmp_path / "t.arrow")


FULL_DISK = """
import resource, sys
import numpy as np, pyarrow as pa
from fastfeat.errors import FastfeatError
from fastfeat.io.sinks.write import write_table
table = pa.table({"x": np.random.default_rng(1).random(200_000)})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_table(table, sys.argv[1])
except FastfeatError as error:
    print(error)
"""


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv"])
def test_a_disk_that_fills_up_is_an_error_and_keeps_the_old_file(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"cannot write {path}: ")
    assert "File too large" in run.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


def test_a_written_file_has_the_usual_permissions(tmp_path):
    write_table(TABLE, tmp_path / "t.parquet")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "t.parquet").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_written_parquet_is_read_by_pandas(tmp_path):
    write_table(TABLE, tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["x"].tolist()[0] == 0.5
