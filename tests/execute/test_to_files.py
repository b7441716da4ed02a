"""Features written as they are computed: rows and bytes as in memory, however they came."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.execute import pieces, to_files
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.layout import layout_of
from fastfeat.execute.pieces import pieces_of_later_rows
from fastfeat.execute.to_files import write_later_rows
from fastfeat.io import budget, host_memory
from fastfeat.io.budget import is_bounded
from fastfeat.io.sinks.parts import regroup_rows
from fastfeat.steps.keys import cpu_vocabulary

N_ROWS = 10_000


def rows(n_rows: int = N_ROWS) -> pa.Table:
    """Return rows with numbers, text of three values and dates, some of them missing."""
    drawn = np.random.default_rng(1)
    number = drawn.standard_normal(n_rows)
    return pa.table(
        {
            "id": np.arange(n_rows),
            "x": pa.array(number, mask=drawn.random(n_rows) < 0.1),
            "city": pa.array(drawn.choice(["Zürich", "a/b=c", "Bern"], n_rows)),
            "day": pa.array(drawn.integers(0, 3, n_rows).astype(np.int32)).cast(pa.date32()),
        }
    )


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return rows()


@pytest.fixture(scope="module")
def fitted(table: pa.Table) -> ff.FittedPlan:
    features = {
        "x": col("x").impute("median").standard_scale(),
        "city": col("city").ordinal_encode(),
        "is_bern": col("city") == "Bern",
        "town": col("city").one_hot_encode(),
    }
    return ff.Plan(features, keep=["id", "day"], dtype="float32").fit(table)


def values(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(None)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file of a folder, by its path in it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_has_the_features_in_order(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path
) -> None:
    manifest = fitted.transform_to(table, tmp_path / "out", part_rows=3_000)
    assert [(file.name, file.n_rows) for file in manifest.files] == [
        ("part-000000.parquet", 3_000),
        ("part-000001.parquet", 3_000),
        ("part-000002.parquet", 3_000),
        ("part-000003.parquet", 1_000),
    ]
    assert manifest.n_rows == N_ROWS
    assert manifest.is_whole
    sizes = [(tmp_path / "out" / file.name).stat().st_size for file in manifest.files]
    assert manifest.n_bytes == sum(sizes)
    found = ds.dataset(tmp_path / "out").to_table()
    assert values(found).equals(values(fitted.transform(table)), check_metadata=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_files_say_by_which_plan_they_were_computed(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path
) -> None:
    manifest = fitted.transform_to(table, tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / manifest.files[0].name)
    assert schema.metadata[b"fastfeat.plan"].decode() == manifest.contents.plan
    assert schema.field("city").metadata == {b"n_codes": b"5"}
    other = ff.Plan({"x": col("x")}).fit(table).transform_to(table, tmp_path / "other")
    assert other.contents.plan != manifest.contents.plan


def test_row_groups_have_statistics(fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path) -> None:
    manifest = fitted.transform_to(table, tmp_path / "out", part_rows=4_000)
    foot = pq.read_metadata(tmp_path / "out" / manifest.files[1].name)
    at = foot.schema.names.index("id")
    assert foot.row_group(0).column(at).statistics.min == 4_000


@pytest.mark.parametrize("name", ["out.parquet", "out.arrow", "out.arrows", "out.csv", "out.tsv"])
def test_a_file_has_what_transform_gives(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path, name: str
) -> None:
    path, expected = tmp_path / name, fitted.transform(table)
    path.write_bytes(b"an old file")
    manifest = fitted.transform_to(table, path)
    assert manifest.files[0].n_bytes == path.stat().st_size
    match path.suffix:
        case ".parquet":
            assert values(pq.read_table(path)).equals(values(expected), check_metadata=True)
        case ".arrow":
            assert values(pa.ipc.open_file(path).read_all()).equals(values(expected))
        case ".arrows":
            assert values(pa.ipc.open_stream(path).read_all()).equals(values(expected))
        case suffix:
            options = pa_csv.ParseOptions(delimiter="\t" if suffix == ".tsv" else ",")
            found = pa_csv.read_csv(path, parse_options=options)
            assert found["id"].to_pylist() == expected["id"].to_pylist()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("file_format", ["ipc", "csv", "tsv"])
def test_a_folder_may_have_another_format(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path, file_format: str
) -> None:
    out = tmp_path / "out.d"
    fitted.transform_to(table, out, format=file_format, part_rows=5_000)
    read: Any = ds.CsvFileFormat(pa_csv.ParseOptions(delimiter="\t"))
    found = ds.dataset(out, format=read if file_format == "tsv" else file_format).to_table()
    assert found["id"].to_pylist() == table["id"].to_pylist()


@pytest.mark.parametrize("columns", [["city"], ["day", "is_bern"]])
def test_partitions_have_their_rows_in_order(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path, columns: list[str]
) -> None:
    out = tmp_path / "out"
    manifest = fitted.transform_to(table, out, partition_by=columns, part_rows=4_000)
    expected = fitted.transform(table).to_pandas()
    assert manifest.n_rows == N_ROWS
    for file in manifest.files:
        found = pq.ParquetFile(out / file.name).read()
        assert found.num_rows == file.n_rows
        assert set(found.column_names) == set(expected.columns) - set(columns)
    of_hive = ds.dataset(out, partitioning="hive").to_table()
    assert sorted(of_hive["id"].to_pylist()) == table["id"].to_pylist()
    for part in ds.dataset(out, partitioning="hive").get_fragments():
        ids = part.to_table(columns=["id"])["id"].to_pylist()
        assert ids == sorted(ids)
    texts = expected.set_index("id")[columns].astype(str).apply(lambda c: c.str.lower())
    for name in columns:
        told = dict(
            zip(of_hive["id"].to_pylist(), map(str, of_hive[name].to_pylist()), strict=True)
        )
        assert [told[k].lower() for k in texts.index] == texts[name].to_list()


def test_values_that_miss_have_a_folder_of_their_own(table: pa.Table, tmp_path: Path) -> None:
    cities = pa.array(["a b/ü", None, "c"] * 4)
    data = pa.table({"x": pa.array(range(12), pa.int64()), "city": cities})
    fitted = ff.Plan({"y": col("x") + 1}, keep=["city"]).fit(data)
    manifest = fitted.transform_to(data, tmp_path / "out", partition_by="city")
    assert [file.name.rpartition("/")[0] for file in manifest.files] == [
        "city=__HIVE_DEFAULT_PARTITION__",
        "city=a%20b%2F%C3%BC",
        "city=c",
    ]
    found = ds.dataset(tmp_path / "out", partitioning="hive").to_table().sort_by("y")
    assert found["city"].to_pylist() == cities.to_pylist()


@pytest.mark.parametrize("partition_by", [(), ("city",)])
@pytest.mark.parametrize("most_bytes", [1, 5_000, 100_000])
def test_bytes_are_the_same_however_rows_come(
    fitted: ff.FittedPlan, tmp_path: Path, most_bytes: int, partition_by: tuple[str, ...]
) -> None:
    data = rows(300 if most_bytes == 1 else N_ROWS)
    data = data.set_column(2, "city", data["city"].dictionary_encode())
    for name, n_bytes in {"cut": most_bytes, "whole": 1 << 30}.items():
        layout = layout_of(tmp_path / name, None, partition_by, 2_500)
        write_later_rows(fitted.record, CallRows(data), layout, "digest", most_bytes=n_bytes)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_less_memory_gives_the_same_bytes(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path
) -> None:
    fitted.transform_to(table, tmp_path / "a", memory="64GiB")
    fitted.transform_to(table, tmp_path / "b")
    assert contents(tmp_path / "a").keys() == {"part-000000.parquet", "_manifest.json"}
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with pytest.raises(ff.errors.OutOfMemory, match="Give memory="):
        fitted.transform_batches(table, memory="1MiB")


def test_a_budget_that_features_exceed_is_told_and_more_goes_on(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.transform_to(table, tmp_path / "expected", part_rows=500)
    taken = [1 << 30]
    monkeypatch.setattr(host_memory, "resident_memory", lambda: taken[-1])
    n_bytes = iter([1 << 12] * 2 + [1 << 40] * 99)

    def features_of(one: Any, *arguments: Any, **options: Any) -> Any:
        if next(n_bytes) > 1 << 20:  # the third table takes more than the budget has
            taken.append(9 << 30)
        return transformed(one, *arguments, **options)

    transformed = pieces.transform
    monkeypatch.setattr(pieces, "transform", features_of)
    monkeypatch.setattr(budget, "MOST_TABLE", 1 << 14)
    told = r"memory=8 GiB is exceeded by computing features: the process uses 9 GiB of memory.*"
    with pytest.raises(ff.errors.OutOfMemory, match=told + 'Give memory="10548MiB"'):
        fitted.transform_to(table, tmp_path / "out", part_rows=500, memory="8GiB")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ff.errors.OutOfMemory, match="processing even a few rows at a time"):
        fitted.transform_batches(table, memory="8GiB")
    taken.append(1 << 30)
    batches = fitted.transform_batches(table, memory="8GiB")
    with pytest.raises(ff.errors.OutOfMemory, match=told):
        list(batches)
    monkeypatch.undo()
    fitted.transform_to(table, tmp_path / "out", part_rows=500, memory="64GiB")
    assert contents(tmp_path / "out") == contents(tmp_path / "expected")


def test_many_files_are_one_data_set(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path
) -> None:
    ds.write_dataset(
        table,
        tmp_path / "data",
        format="parquet",
        partitioning=ds.partitioning(pa.schema([("city", pa.string())]), flavor="hive"),
        max_rows_per_file=700,
        max_rows_per_group=500,
    )
    expected = fitted.transform(ds.dataset(tmp_path / "data", partitioning="hive").to_table())
    fitted.transform_to(tmp_path / "data", tmp_path / "out", part_rows=900)
    found = ds.dataset(tmp_path / "out").to_table()
    assert found.sort_by("id").equals(expected.sort_by("id"))
    batches = pa.concat_tables(fitted.transform_batches(tmp_path / "data"))
    assert values(found).equals(values(batches))


def test_a_reader_is_written_once(fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path) -> None:
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(999))
    assert fitted.transform_to(reader, tmp_path / "out.parquet").n_rows == N_ROWS


def test_no_rows_have_a_schema(fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path) -> None:
    none, expected = table.slice(0, 0), fitted.transform(table)
    manifest = fitted.transform_to(none, tmp_path / "out")
    assert [file.n_rows for file in manifest.files] == [0]
    assert ds.dataset(tmp_path / "out").schema.remove_metadata() == expected.schema
    fitted.transform_to(none, tmp_path / "out.arrow")
    found = pa.ipc.open_file(tmp_path / "out.arrow").read_all()
    assert found.schema.remove_metadata() == expected.schema
    assert fitted.transform_to(none, tmp_path / "parts", partition_by="city").files == ()


def test_batches_within_a_budget_ask_it_for_room_as_they_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = ff.Plan({"code": col("k").ordinal_encode()}).fit({"k": np.arange(1000)})
    asked: list[int] = []
    monkeypatch.setattr(
        cpu_vocabulary, "has_room", lambda n_bytes: is_bounded() and asked.append(n_bytes)
    )
    rows = pa.table({"k": np.arange(2000)})
    batches = fitted.transform_batches(rows, memory="8GiB")
    found = [next(batches)]
    assert not is_bounded()  # between batches this thread does other work
    assert asked
    assert pa.concat_tables([*found, *batches]) == fitted.transform(rows)


def test_batches_are_the_features_in_order(fitted: ff.FittedPlan, table: pa.Table) -> None:
    found = pa.concat_tables(fitted.transform_batches(table))
    assert found.equals(fitted.transform(table))
    (matrix,) = fitted.transform_batches(table, to="numpy")
    assert np.array_equal(matrix, fitted.transform(table, to="numpy"), equal_nan=True)


def test_lookup_tables_are_read_once(tmp_path: Path) -> None:
    planes = pa.table({"plane": ["a", "b"], "seats": [100, 200]})
    pq.write_table(planes, tmp_path / "planes.parquet")
    plan = ff.Plan({"seats": ff.lookup("planes", by="plane").col("seats")})
    data = pa.table({"plane": ["a", "b", "c"] * 1_000})
    tables = {"planes": str(tmp_path / "planes.parquet")}
    fitted = plan.fit(data, tables=tables)
    pieces = pieces_of_later_rows(
        fitted.record, CallRows(data, tables=tables), most_bytes=1_000
    ).of_all()
    first = next(pieces)
    assert first.num_rows < len(data)
    (tmp_path / "planes.parquet").unlink()
    found = pa.concat_tables([first, *pieces])
    assert found.equals(fitted.transform(data, tables={"planes": planes}))


def test_a_row_that_fails_is_told_with_its_file(tmp_path: Path) -> None:
    numbers = np.ones(1_000, np.int64)
    (tmp_path / "data").mkdir()
    for name in "abc":
        numbers[501] = 2**62 if name == "b" else 1
        pq.write_table(pa.table({"x": numbers}), tmp_path / "data" / f"{name}.parquet")
    fitted = ff.Plan({"y": col("x") * 4}).fit({"x": [1]})
    told = r"row 1501\b.* \(that is .*b\.parquet, row 501\)"
    with pytest.raises(ff.errors.Overflow, match=told):
        fitted.transform_to(tmp_path / "data", tmp_path / "out")
    with pytest.raises(ff.errors.Overflow, match=told):
        list(fitted.transform_batches(tmp_path / "data"))
    assert not (tmp_path / "out").exists()


def test_a_column_that_lacks_is_told_before_anything_is_read(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(table.drop_columns(["city"]), tmp_path / "data.parquet")
    with pytest.raises(ff.errors.UnknownColumn, match="lacks the column 'city'"):
        fitted.transform_batches(tmp_path / "data.parquet")
    with pytest.raises(ff.errors.UnknownColumn, match="lacks the column 'city'"):
        fitted.transform_to(tmp_path / "data.parquet", tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("out", {"format": "parqet"}, "format='parqet': must be one of .* Did you mean 'parquet'"),
        ("out.pqt", {}, "no format has the suffix '.pqt'"),
        ("out.csv", {"partition_by": "city"}, "are for folders"),
        ("out.csv", {"format": "ipc"}, "format=, .* are for folders"),
        ("out", {"part_rows": 0}, "part_rows=0: must be a number of rows, at least 1"),
        ("out", {"partition_by": "citi"}, "kept column is named 'citi'. Did you mean 'city'"),
        ("out", {"partition_by": ["city", "city"]}, "names 'city' twice"),
        ("out", {"partition_by": "x"}, "'x' is float. Partition by text"),
    ],
)
def test_odd_options_are_told(
    fitted: ff.FittedPlan,
    table: pa.Table,
    tmp_path: Path,
    name: str,
    options: dict[str, Any],
    told: str,
) -> None:
    with pytest.raises((ff.errors.InvalidPlan, ff.errors.TypeMismatch), match=told):
        fitted.transform_to(table, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_partitions_of_too_many_values_are_refused(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path
) -> None:
    with pytest.raises(ff.errors.InvalidData, match="more than 1,000 folders for 10,000 rows"):
        fitted.transform_to(table, tmp_path / "out", partition_by="id")


def test_a_text_that_would_be_read_as_missing_is_refused(tmp_path: Path) -> None:
    data = pa.table({"x": [1, 2], "k": ["a", ""]})
    fitted = ff.Plan({"y": col("x")}, keep=["k"]).fit(data)
    with pytest.raises(ff.errors.InvalidData, match="'k' has the value ''"):
        fitted.transform_to(data, tmp_path / "out", partition_by="k")


@pytest.mark.parametrize("out", ["data/a.parquet", "data/../data/a.parquet", "link.parquet"])
def test_a_file_of_the_data_is_not_replaced(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path, out: str
) -> None:
    (tmp_path / "data").mkdir()
    source = tmp_path / "data" / "a.parquet"
    pq.write_table(table, source)
    (tmp_path / "link.parquet").symlink_to(source)
    plan = ff.Plan({"x": col("x")})
    with pytest.raises(ff.errors.OutputError, match="is a file of the data, and the features"):
        fitted.transform_to(source, tmp_path / out)
    with pytest.raises(ff.errors.OutputError, match="is a file of the data, and the features"):
        plan.fit_transform_to([source], tmp_path / out)
    assert pq.read_table(source).equals(table)


def test_features_are_not_written_among_the_data(
    fitted: ff.FittedPlan, table: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(table, tmp_path / "a.parquet")
    plan = ff.Plan({"x": col("x")})
    for name in ("out", "b.parquet", "deeper/out"):
        for write in (fitted.transform_to, plan.fit_transform_to):
            with pytest.raises(ff.errors.OutputError, match="is in the folder of the data"):
                write(tmp_path, tmp_path / name)
    fitted.transform_to(tmp_path, tmp_path / "_out")
    fitted.transform_to(tmp_path / "a.parquet", tmp_path / "out")
    assert pq.read_table(tmp_path / "out").equals(pq.read_table(tmp_path / "_out"))


def test_pieces_are_small_enough_for_features_that_are_many() -> None:
    data = pa.table({"x": np.arange(50_000.0)})
    fitted = ff.Plan({f"f{k}": col("x") + k for k in range(64)}).fit(data)
    pieces = list(pieces_of_later_rows(fitted.record, CallRows(data), most_bytes=1 << 20).of_all())
    assert max(piece.nbytes for piece in pieces) < 2 << 20
    assert sum(piece.num_rows for piece in pieces) == 50_000


@pytest.mark.skipif(os.name == "nt", reason="a folder that is in use stays there")
@pytest.mark.parametrize("out", ["features", "further/features", "features.parquet"])
def test_a_place_where_no_folder_can_be_is_told(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    fitted = ff.Plan({"x": col("x") + 1}).fit({"x": [1.0]})
    with pytest.raises(ff.errors.OutputError, match=f"cannot write {out}"):
        fitted.transform_to({"x": [1.0]}, out)


@pytest.mark.parametrize("out", ["out", "out.parquet"])
def test_no_group_of_rows_is_kept_while_the_next_one_is_made(
    fitted: ff.FittedPlan,
    table: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    out: str,
) -> None:
    kept: list[int] = []

    def groups_of(tables: Any, n_rows: int, part_rows: int) -> Any:
        groups: list[weakref.ref[Any]] = []
        made = regroup_rows(tables, n_rows, part_rows)
        while (waiting := [next(made, None)])[0] is not None:
            groups.append(weakref.ref(waiting[0]))
            yield waiting.pop()
            kept.append(sum(group() is not None for group in groups))

    monkeypatch.setattr(to_files, "regroup_rows", groups_of)
    monkeypatch.setattr(to_files, "group_rows_of", lambda schema: 500)
    monkeypatch.setattr(to_files, "part_rows_of", lambda schema: 2_000)
    fitted.transform_to(table, tmp_path / out)
    assert kept == [0] * len(kept)
    assert len(kept) > 10
