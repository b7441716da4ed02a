"""Values of delimited files: large whole numbers, and what is quoted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData
from fastfeat.io.sources.read import read_table


def written(folder: Path, *texts: str) -> Any:
    """Return the path of a file, or of a folder of some."""
    if len(texts) == 1:
        (folder / "one.csv").write_text(texts[0])
        return folder / "one.csv"
    (folder / "all").mkdir()
    for number, text in enumerate(texts):
        (folder / "all" / f"{number}.csv").write_text(text)
    return folder / "all"


def read(folder: Path, *texts: str) -> pa.Table:
    """Return the rows of files, which are the same in a list of paths."""
    at = written(folder, *texts)
    table = read_table(at)
    paths = [at] if len(texts) == 1 else sorted(at.iterdir())
    assert read_table(paths).equals(table)
    return table


@pytest.mark.parametrize(
    ("texts", "arrow"),
    [
        ((f"id\n1\n{2**63 - 1}\n",), pa.int64()),
        ((f"id\n{2**63}\n",), pa.uint64()),
        ((f"id\n0\nNA\n{2**64 - 1}\n",), pa.uint64()),
        (("id\n1\n", f"id\n{2**63 + 1}\n"), pa.uint64()),
        ((f"id\n{2**63 + 1}\n", "id\nNA\n"), pa.uint64()),
        ((f"id\n{2**63 + 1}\n", "id\n1.5\n"), pa.float64()),
        ((f"id\n{2**64}\n1e3\n",), pa.float64()),
        (("id\n-1\n", f"id\n{2**63}\n", "id\n0.5\n"), pa.float64()),
        ((f"id\n{2**63}\n", "id\nx\n"), pa.string()),
        ((f"id\n {2**63}\n3 \n",), pa.uint64()),
        ((f"id\n{-(2**63)}.0\n1.5\n",), pa.float64()),
    ],
)
def test_whole_numbers_have_one_type_over_all_files(texts: Any, arrow: Any, tmp_path: Path):
    column = read(tmp_path, *texts)["id"]
    assert column.type == arrow
    fields = [line for text in texts for line in text.splitlines()[1:]]
    kind = {pa.string(): str, pa.float64(): float}.get(arrow, int)
    assert column.to_pylist() == [None if f == "NA" else kind(f) for f in fields]


@pytest.mark.parametrize(
    ("texts", "first"),
    [
        ((f"id,v\n1,2\n{2**64},2\n",), str(2**64)),
        ((f"id,v\n{2**63},2\n-5,2\n",), "-5 and numbers of"),
        (("id,v\n-7,2\n", f"id,v\n{2**63},2\n"), "-7 and numbers of"),
        (("id,v\n1,2\n", f"id,v\n-{2**64},2\n"), f"-{2**64}"),
        ((f"id,v\n{-(2**63) - 1},2\n1,2\n",), f"{-(2**63) - 1}"),
        ((f"id,v\n+{2**63},2\n1,2\n",), rf"\+{2**63}, but .* a plus sign"),
    ],
)
def test_whole_numbers_of_no_type_are_an_error_where_they_are_read(
    texts: Any, first: str, tmp_path: Path
):
    data = written(tmp_path, *texts)
    with pytest.raises(InvalidData, match=rf'col\("id"\).*whole number {first}.*ids as text'):
        ff.Plan({"n": col("id").count_encode()}).fit(data)
    features = ff.Plan({"v": col("v") + 0}).fit(data).transform(data)
    assert features["v"].to_pylist() == [2, 2]


def test_a_quoted_empty_field_is_an_empty_text(tmp_path: Path):
    table = read(tmp_path, 's,t,n\n"",a,""\n,b,3\nx,"",\nNA,"NA",NA\n')
    assert table.to_pydict() == {
        "s": ["", None, "x", "NA"],
        "t": ["a", "b", "", "NA"],
        "n": [None, 3, None, None],
    }


def test_a_quoted_empty_field_of_a_late_block_is_an_empty_text(tmp_path: Path):
    n = 60_000  # about three blocks
    lines = [f"text of about thirty letters {k}" for k in range(n)]
    lines[n // 2], lines[-1] = '""', '""'
    table = read(tmp_path, "s,n\n" + "".join(f"{line},\n" for line in lines))
    found = table["s"].to_pylist()
    assert found == [line.strip('"') for line in lines]


def test_bytes_have_empty_values_too(tmp_path: Path):
    (tmp_path / "f.csv").write_bytes(b's,n\n"",1\n,2\n\xff,3\n')
    assert read_table(tmp_path / "f.csv")["s"].to_pylist() == [b"", None, b"\xff"]
    assert read_table([tmp_path / "f.csv"])["s"].to_pylist() == [b"", None, b"\xff"]


def test_an_empty_text_comes_back_from_a_file_that_was_written(tmp_path: Path):
    table = pa.table({"s": ["", None, "x"], "v": [1, 2, 3]})
    plan = ff.Plan({"v": col("v") + 0}, keep=["s"])
    plan.fit(table).transform_to(table, tmp_path / "out", format="csv")
    (part,) = (tmp_path / "out").rglob("*.csv")
    assert read_table(part)["s"].to_pylist() == ["", None, "x"]


def test_a_folder_and_a_column_of_one_name_are_an_error_where_they_are_read(tmp_path: Path):
    (tmp_path / "x=5").mkdir()
    (tmp_path / "x=5" / "a.csv").write_text("x,v\n6,1\n")
    with pytest.raises(InvalidData, match=r'col\("x"\): .*a\.csv has this column, .* folder x='):
        ff.Plan({"x": col("x") + 0}).fit(tmp_path).transform(tmp_path)
    assert ff.Plan({"v": col("v") + 0}).fit(tmp_path).transform(tmp_path)["v"].to_pylist() == [1]
    of_file = ff.Plan({"x": col("x") + 0}).fit_transform([tmp_path / "x=5" / "a.csv"])[1]
    assert of_file["x"].to_pylist() == [6]
