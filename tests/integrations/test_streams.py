"""Batches of plans over tables, files and readers: the bits of `transform`, and what is refused."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastfeat as ff
from fastfeat import col
from fastfeat.errors import InvalidData, InvalidPlan, TypeMismatch, UnknownColumn
from fastfeat.execute.call_rows import CallRows
from fastfeat.integrations.batches.blocks import (
    CODES,
    DENSE,
    contents_of,
    features_block,
    join_blocks,
)
from fastfeat.integrations.batches.columns import LABEL, Block, label_array
from fastfeat.integrations.batches.epochs import Division, Worker
from fastfeat.integrations.batches.options import resolve_state
from fastfeat.integrations.batches.pieces import pieces_of
from fastfeat.integrations.batches.streams import (
    BatchStream,
    ShuffleOptions,
    TransformedBlock,
    rows_of,
)

N = 300
ID = ("keep", "id")


def rows(n: int = N, seed: int = 0) -> pa.Table:
    """Return rows with an id, numbers that may be missing, text, lists and a label."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return pa.table(
        {
            "id": np.arange(n),
            "x": pa.array(x, mask=np.arange(n) % 9 == 0),
            "city": rng.choice(["Bern", "Basel", "Chur"], n),
            "tags": [list(rng.choice(["a", "b", "c"], k)) for k in rng.integers(0, 4, n)],
            "y": rng.integers(0, 2, n),
        }
    )


TABLE = rows()
PLAN = ff.Plan(
    {
        "x": col("x").standard_scale(),
        "is_chur": col("city") == "Chur",
        "city": col("city").ordinal_encode(),
        "tag": col("tags").list.ordinal_encode(width=2),
    },
    label="y",
    keep=["id"],
)
FITTED = PLAN.fit(TABLE)


def stream(
    data: Any = TABLE,
    *,
    fitted: ff.FittedPlan = FITTED,
    batch_size: int = 32,
    shuffle: bool = True,
    mix: int = 2,
    piece_rows: int = 50,
    history: Any = None,
    tables: Any = None,
    **contents: Any,
) -> BatchStream:
    """Return a stream of a plan over data."""
    given: dict[str, Any] = {
        "codes": None, "bags": (), "label": None, "keep": None, "dtype": "float32",
        "as_matrix": False,
    }  # fmt: skip
    made = contents_of(fitted, **given | contents)
    columns = [*made.columns, *made.optional_columns]
    found = rows_of(
        made, pieces_of(data, columns, piece_rows), CallRows(data, history=history, tables=tables)
    )
    return BatchStream(found, Division(found.n_rows, batch_size), ShuffleOptions(shuffle, 0, mix))


def whole(given: BatchStream, epoch: int = 0) -> Block:
    """Return all batches of an epoch as one block, in the order of the ids."""
    block = join_blocks(list(given.batches(epoch, Worker(), 0)))
    order = np.argsort(block[ID])
    return {key: of[order] for key, of in block.items() if isinstance(of, np.ndarray)}


def parts_of(table: pa.Table) -> Iterator[pa.RecordBatch]:
    return iter(table.to_batches(max_chunksize=70))


def written(folder: Path, table: pa.Table = TABLE) -> Path:
    """Return a folder with two Parquet files of several row groups."""
    folder.mkdir(exist_ok=True)
    pq.write_table(table.slice(0, 120), folder / "a.parquet", row_group_size=50)
    pq.write_table(table.slice(120), folder / "b.parquet", row_group_size=70)
    return folder


def check_bits(block: Block, fitted: ff.FittedPlan = FITTED, table: pa.Table = TABLE) -> None:
    """Check that a block holds what `transform` gives."""
    expected = fitted.transform(table)
    dense = np.column_stack(
        [expected["x"].cast("float32").to_numpy(), expected["is_chur"].cast("float32").to_numpy()]
    )
    np.testing.assert_array_equal(block[DENSE].view(np.int32), dense.view(np.int32))
    codes = [expected[name].to_numpy() for name in ("city", "tag_0", "tag_1")]
    np.testing.assert_array_equal(block[CODES], np.column_stack(codes))
    assert block[CODES].dtype == np.int64
    np.testing.assert_array_equal(block[LABEL], table["y"].to_numpy())
    np.testing.assert_array_equal(block[ID], table["id"].to_numpy())


@pytest.mark.parametrize(
    "data_of",
    [
        pytest.param(lambda _: TABLE, id="arrow"),
        pytest.param(lambda _: TABLE.to_pandas(), id="pandas"),
        pytest.param(lambda _: pl.DataFrame(TABLE), id="polars"),
        pytest.param(lambda _: TABLE.to_batches(max_chunksize=37), id="batches"),
        pytest.param(lambda path: written(path), id="folder"),
        pytest.param(lambda path: written(path) / "b.parquet", id="file"),
        pytest.param(lambda path: [*map(str, sorted(written(path).iterdir()))], id="files"),
        pytest.param(lambda _: lambda: parts_of(TABLE), id="generator"),
        pytest.param(lambda _: lambda: TABLE.to_reader(max_chunksize=70), id="reader"),
        pytest.param(lambda _: lambda: [TABLE[:100].to_pandas(), TABLE[100:]], id="frames"),
    ],
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_data_of_any_kind_gives_the_bits_of_transform(
    data_of: Callable[[Path], Any], shuffle: bool, tmp_path: Path
) -> None:
    made = stream(data_of(tmp_path / "data"), shuffle=shuffle)
    block = whole(made)
    n = made.division.n_rows
    check_bits(block, table=TABLE.slice(N - n))
    sizes = [len(batch[DENSE]) for batch in made.batches(1, Worker(), 0)]
    assert sizes == [32] * (n // 32) + [n % 32]


def test_epochs_have_other_orders_and_the_same_rows() -> None:
    made = stream()
    first, second = (
        np.concatenate([batch[ID] for batch in made.batches(k, Worker(), 0)]) for k in (0, 1)
    )
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(N))
    again = np.concatenate([batch[ID] for batch in made.batches(1, Worker(), 0)])
    assert again.tolist() == second.tolist()


def test_a_reader_keeps_the_order_of_its_pieces() -> None:
    """It has no way back, so that rows are mixed within pools alone."""
    made = stream(lambda: parts_of(TABLE), batch_size=140)
    ids = [batch[ID] for batch in made.batches(0, Worker(), 0)]
    assert [sorted({row // 140 for row in batch.tolist()}) for batch in ids] == [[0], [1], [2]]
    assert ids[0].tolist() != sorted(ids[0].tolist())


def test_pickled_streams_give_the_same_batches() -> None:
    made = stream()
    other: BatchStream = pickle.loads(pickle.dumps(made))
    for batch, same in zip(
        made.batches(2, Worker(), 0), other.batches(2, Worker(), 0), strict=True
    ):
        np.testing.assert_array_equal(batch[DENSE], same[DENSE])
        np.testing.assert_array_equal(batch[ID], same[ID])


def test_bags_label_and_kept_columns_are_chosen() -> None:
    made = stream(bags=["tag"], label=False, keep=["id", "city"], shuffle=False)
    (batch, *_) = made.batches(0, Worker(), 0)
    assert set(batch) == {DENSE, CODES, ("bags", "tag"), ID, ("keep", "city")}
    assert batch[CODES].shape == (32, 1)
    assert batch["bags", "tag"].shape == (32, 2)
    assert batch["keep", "city"].to_pylist() == TABLE["city"].to_pylist()[:32]
    assert made.rows.contents.n_codes == {"city": 5}
    assert made.rows.contents.n_bag_codes == {"tag": 5}


def test_codes_may_be_named_and_all_may_be_one_matrix() -> None:
    made = stream(codes={"tag_0": 5}, label="id")
    assert made.rows.contents.n_codes == {"tag_0": 5}
    assert made.rows.contents.dense is not None
    assert made.rows.contents.dense.feature_names == ["x", "is_chur", "city", "tag_1"]
    matrix = next(stream(as_matrix=True, dtype="float64").batches(0, Worker(), 0))
    assert set(matrix) == {DENSE, LABEL}
    assert matrix[DENSE].dtype == np.float64
    assert matrix[DENSE].shape == (32, 5)


def test_dense_features_are_rounded_once_and_an_integer_exactly_or_not_at_all() -> None:
    data = {"x": [1.0 / 3], "k": [2**24 + 1]}
    fitted = ff.Plan({"x": col("x") * 1.0, "k": col("k") + 0}).fit(data)
    made = stream(data, fitted=fitted, dtype="float64")
    assert next(made.batches(0, Worker(), 0))[DENSE].tolist() == [[1 / 3, 2**24 + 1]]
    with pytest.raises(ff.errors.Overflow, match="feature 'k'"):
        stream(data, fitted=fitted)


EVENTS = pa.table(
    {
        "id": np.arange(N),
        "user": np.random.default_rng(1).integers(0, 20, N),
        "t": np.arange(N),
        "x": np.random.default_rng(2).normal(size=N),
        "city": ["Bern"] * N,
        "is_bad": np.random.default_rng(3).integers(0, 2, N),
    }
)
SEEN = ff.window(50, by="user", time="t")
WINDOWS = ff.Plan(
    {"x": col("x").mean(over=SEEN), "bad": col("is_bad").mean(over=SEEN)},
    label="is_bad",
    keep=["id"],
    row_id="id",
)


def test_windows_need_history_and_see_all_rows() -> None:
    fitted = WINDOWS.fit(EVENTS)
    with pytest.raises(InvalidPlan, match=r"\(50 of each user\), which see rows of other pieces"):
        stream(EVENTS, fitted=fitted)
    expected = fitted.transform(EVENTS, history="batch", to="numpy").astype(np.float32)
    block = whole(stream(EVENTS, fitted=fitted, history="batch"))
    np.testing.assert_array_equal(block[DENSE], expected)
    later = EVENTS.slice(100)
    expected = fitted.transform(later, history=EVENTS, to="numpy").astype(np.float32)
    block = whole(stream(later, fitted=fitted, history=EVENTS))
    np.testing.assert_array_equal(block[DENSE], expected)


def test_pieces_that_hold_the_past_of_their_rows_are_transformed_by_themselves(
    tmp_path: Path,
) -> None:
    fitted = WINDOWS.fit(EVENTS)
    by_user = EVENTS.sort_by([("user", "ascending"), ("t", "ascending")])
    sizes = np.bincount(by_user["user"].to_numpy())
    path = tmp_path / "by_user.parquet"
    with pq.ParquetWriter(path, by_user.schema) as writer:
        for first, n in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
            writer.write_table(by_user.slice(int(first), int(n)))
    expected = fitted.transform(EVENTS, history="batch", to="numpy").astype(np.float32)
    for shuffle in (True, False):
        made = stream(path, fitted=fitted, history="piece", shuffle=shuffle)
        assert not isinstance(made.rows, TransformedBlock)
        np.testing.assert_array_equal(whole(made)[DENSE], expected)


def test_rows_without_a_label_ahead_are_left_out_and_counted() -> None:
    ahead = ff.ahead(30, by="user", time="t")
    plan = ff.Plan({"x": col("x") * 2}, label={"n": ff.count(over=ahead)}, keep=["id"])
    with pytest.warns(ff.errors.RowsWithoutLabel):
        fitted = plan.fit(EVENTS)
    made = stream(EVENTS, fitted=fitted)
    assert isinstance(made.rows, TransformedBlock)
    label = fitted.label(EVENTS)
    assert made.rows.n_left_out == label.null_count > 0
    block = whole(made)
    np.testing.assert_array_equal(block[ID], np.flatnonzero(label.is_valid().to_numpy()))
    np.testing.assert_array_equal(block[LABEL], label.drop_null().to_numpy())
    with pytest.raises(InvalidData, match="label is missing in"):
        whole(stream(EVENTS, fitted=fitted, history="piece"))


def test_tables_are_looked_up() -> None:
    plan = ff.Plan({"seats": ff.lookup("planes", by="city").col("seats")}, keep=["id"])
    planes = pa.table({"city": ["Bern", "Basel"], "seats": [1.0, 2.0]})
    fitted = plan.fit(TABLE, tables={"planes": planes})
    made = stream(fitted=fitted, tables={"planes": planes})
    expected = fitted.transform(TABLE, tables={"planes": planes}, to="numpy")
    np.testing.assert_array_equal(whole(made)[DENSE], expected.astype(np.float32))
    with pytest.raises(UnknownColumn, match="planes"):
        stream(fitted=fitted)


def test_features_that_are_computed_are_taken_as_they_are() -> None:
    fitted, features = PLAN.fit_transform(TABLE)
    contents = stream(fitted=fitted, label=False).rows.contents
    block = features_block(contents, features, TABLE["y"])
    check_bits(block, fitted)
    made = BatchStream(
        TransformedBlock(contents, block), Division(N, 32), ShuffleOptions(True, 0, 1)
    )
    check_bits(whole(made), fitted)
    with pytest.raises(InvalidData, match="the label has 3 values, but the features have 300 rows"):
        features_block(contents, features, [1, 2, 3])


@pytest.mark.parametrize("row_id", [None, "id"])
@pytest.mark.parametrize("kind", ["table", "files", "reader"])
def test_rows_whose_labels_an_encoding_knows_are_told_of(
    kind: str, row_id: str | None, tmp_path: Path
) -> None:
    """They are known by an id each, or as the very rows that fit has learnt from."""
    features = {"city": col("city").target_encode("y", folds=2), "x": col("x")}
    plan = ff.Plan(features, label="y", row_id=row_id)

    def data_of(table: pa.Table, name: str) -> Any:
        made = {"table": lambda: table, "files": lambda: written(tmp_path / name, table)}
        return made.get(kind, lambda: lambda: parts_of(table))()

    with pytest.warns(ff.errors.EncodedInFold, match="fit has learnt from"):
        stream(data_of(TABLE, "train"), fitted=plan.fit(TABLE))
    other = rows(seed=5).set_column(0, "id", pa.array(np.arange(N) + N))
    stream(data_of(other, "test"), fitted=plan.fit(TABLE))


def test_no_rows_give_no_batches(tmp_path: Path) -> None:
    path = tmp_path / "none.parquet"
    pq.write_table(TABLE.slice(0, 0), path)
    for data in (TABLE.slice(0, 0), path, list):
        for shuffle in (True, False):
            assert [*stream(data, shuffle=shuffle).batches(0, Worker(), 0)] == []
    events = stream(EVENTS.slice(0, 0), fitted=WINDOWS.fit(EVENTS), history="batch")
    assert [*events.batches(0, Worker(), 0)] == []


def test_row_groups_without_rows_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "gaps.parquet"
    with pq.ParquetWriter(path, TABLE.schema) as writer:
        for part in (TABLE.slice(0, 0), TABLE.slice(0, 200), TABLE.slice(0, 0), TABLE.slice(200)):
            writer.write_table(part)
    check_bits(whole(stream(path)))


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ([True, False], np.array([1, 0], np.float32)),
        (pa.array([3, 4], pa.uint8()), np.array([3, 4])),
        ([0.5, 1.5], np.array([0.5, 1.5], np.float32)),
        (pd.Series([1, 0]), np.array([1, 0])),
        (pa.chunked_array([[1], [0]]), np.array([1, 0])),
        (pd.Series([7, 5]).astype("category"), np.array([7, 5])),
        (pd.DataFrame({"y": [1, 0]}), np.array([1, 0])),
        (np.array([[1], [0]]), np.array([1, 0])),
    ],
)
def test_labels_have_the_types_of_losses(label: Any, values: Any) -> None:
    found = label_array(label)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("label", "kind", "told"),
    [
        ("y", TypeMismatch, "got str, which is not a column"),
        (np.ones((2, 2)), InvalidData, "has shape (2, 2), but 'label' is one column: pass only"),
        ([1, None], InvalidData, "the label is missing in 1 row"),
        (np.ma.masked_equal([1, 0], 0), InvalidData, "the label is missing in 1 row"),
    ],
)
def test_what_is_no_label_is_told(label: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        label_array(label)


def replaced(name: str, values: Any) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(name), name, pa.array(values))


MISSING = [None, *range(N - 1)]


@pytest.mark.parametrize(
    ("make", "kind", "told"),
    [
        (lambda: stream(TABLE.drop(["y"])), UnknownColumn, "lacks 'y', which the label is"),
        (lambda: stream(TABLE.drop(["id"])), UnknownColumn, "lacks the column 'id'"),
        (lambda: stream(TABLE.drop(["x"])), UnknownColumn, "lacks the column 'x'"),
        (lambda: stream(label="z"), UnknownColumn, "lacks 'z', which the label is computed"),
        (lambda: stream(label="city"), TypeMismatch, "the label is string, but tensors hold"),
        (lambda: stream(replaced("y", MISSING)), InvalidData, "label is missing in 1 row"),
        (lambda: stream(label="x"), InvalidData, "label is missing in 1 row"),
        (lambda: stream(replaced("id", MISSING)), InvalidData, "keep='id' is int64 and missing"),
        (lambda: stream(replaced("x", ["a"] * N)), TypeMismatch, "fit saw float64, got utf8"),
        (lambda: stream(label=3), InvalidPlan, "label=3: takes the name of a column"),
        (lambda: stream(label=TABLE), InvalidPlan, "label=<Table>: takes the name of a column"),
        (lambda: stream(codes={"cyty": 3}), InvalidPlan, "Did you mean 'city'?"),
        (lambda: stream(codes={"city": 0}), InvalidPlan, "takes the number of codes, from 1"),
        (lambda: stream(bags=["x"]), InvalidPlan, "these columns of it have none: 'x'"),
        (lambda: stream(bags=["tags"]), InvalidPlan, "has this name. Did you mean 'tag'?"),
        (lambda: stream(as_matrix=True, bags=["tag"]), InvalidPlan, "a matrix has only features"),
        (lambda: stream(codes={"city": 1}), InvalidData, "has the code 3, but codes= allows"),
        (lambda: stream(codes={"x": 3}), InvalidData, "'x' is missing in 1 row, but a code"),
        (lambda: stream(TABLE.to_reader()), TypeMismatch, "RecordBatchReader can be read once"),
        (lambda: stream(parts_of(TABLE)), TypeMismatch, "can be read once, but each epoch"),
        (lambda: stream("nowhere/"), InvalidData, "no such file: nowhere"),
        (lambda: stream(["nowhere.parquet"]), InvalidData, "no such file: nowhere.parquet"),
        (lambda: stream(3), TypeMismatch, "int, which is not a table"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_once(
    make: Callable[[], BatchStream], kind: type[Exception], told: str
) -> None:
    """Values of later pieces are seen as they are read; here the first row is the wrong one."""
    with pytest.raises(kind, match=re.escape(told)):
        make()


def test_files_are_refused_that_change_vanish_or_lack_a_column(tmp_path: Path) -> None:
    folder = written(tmp_path / "data")
    made = stream(folder, batch_size=1000)
    (whole_epoch,) = made.batches(0, Worker(), 0)
    assert len(whole_epoch[ID]) == N
    pq.write_table(TABLE.slice(0, 7), folder / "b.parquet")
    with pytest.raises(InvalidData, match=r"b\.parquet was rewritten after it was first read"):
        list(made.batches(1, Worker(), 0))
    (folder / "b.parquet").unlink()
    with pytest.raises(InvalidData, match=r"no such file: .*b\.parquet") as caught:
        list(made.batches(1, Worker(), 0))
    assert any("in piece" in note for note in caught.value.__notes__)
    pq.write_table(TABLE.drop(["x"]), folder / "b.parquet")
    with pytest.raises(UnknownColumn, match=r"b\.parquet lacks 'x', which the plan reads"):
        stream(folder)
    (folder / "b.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InvalidData, match=r"b\.parquet: cannot be read as Parquet"):
        stream(folder)


def test_a_damaged_row_group_is_told_of(tmp_path: Path) -> None:
    folder = written(tmp_path / "data")
    made = stream(folder)
    path = folder / "b.parquet"
    seen = path.stat()
    content = bytearray(path.read_bytes())
    content[200:2000] = bytes(1800)
    path.write_bytes(content)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    with pytest.raises(InvalidData, match=r"b\.parquet: row group \d cannot be read"):
        list(made.batches(0, Worker(), 0))


def test_a_folder_is_read_with_those_below_and_without_what_is_hidden(tmp_path: Path) -> None:
    written(tmp_path)
    written(tmp_path / "_old")
    below = tmp_path / "day=1"
    below.mkdir()
    pq.write_table(TABLE.slice(0, 10), below / "c.parquet")
    assert stream(tmp_path).division.n_rows == N + 10
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidData, match="has no files that end in"):
        stream(tmp_path / "empty")


def test_patterns_and_addresses_are_files_of_a_folder(tmp_path: Path) -> None:
    folder = written(tmp_path / "data")
    whole = stream(folder)
    for data in (f"{folder}/*.parquet", f"file://{folder}", [f"{folder}/a*", f"{folder}/[b-z]*"]):
        same = stream(data)
        assert same.division.n_rows == whole.division.n_rows
        both = (of.batches(0, Worker(), 0) for of in (same, whole))
        for one, other in zip(*both, strict=True):
            np.testing.assert_array_equal(one[ID], other[ID])
    (folder / "c.parquet").symlink_to("a.parquet")
    with pytest.raises(InvalidData, match=r"would count twice: .*c\.parquet"):
        stream(folder)


def test_a_function_must_open_the_same_reader_each_time() -> None:
    once = parts_of(TABLE)
    with pytest.raises(InvalidData, match=r"5 pieces at first, but 0 now: it was already read"):
        stream(lambda: once)
    sizes = iter([300, 300, 200, 200])
    made = stream(lambda: TABLE.slice(0, next(sizes)).to_batches(max_chunksize=150))
    with pytest.raises(InvalidData, match="piece 1 had 150 rows at first, but has 50 now"):
        list(made.batches(0, Worker(), 0))


def pieces_with(name: str, first: Any, later: Any) -> Callable[[], list[pa.Table]]:
    """Return what gives two pieces, in which a column has values of two types."""
    place = TABLE.column_names.index(name)
    parts = TABLE.slice(0, 100), TABLE.slice(100)
    return lambda: [
        part.set_column(place, name, pa.array(values[: len(part)]))
        for part, values in zip(parts, (first, later), strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "first", "later", "kind"),
    [
        ("id", np.arange(N), np.arange(N, dtype=np.int32), np.int64),
        ("id", np.ones(N), [None] * N, np.float64),
        ("id", np.ones(N), np.arange(N, dtype=np.int32), np.float64),
        ("city", ["Bern"] * N, [None] * N, pa.string()),
        ("city", pa.array(["Bern"] * N, pa.string_view()), ["Chur"] * N, pa.large_string()),
        ("city", ["Bern"] * N, pa.array(["Chur"] * N).dictionary_encode(), pa.string()),
    ],
)
def test_kept_columns_have_the_type_of_the_first_piece(
    name: str, first: Any, later: Any, kind: Any
) -> None:
    fitted = ff.Plan({"n": col("x").is_null()}, keep=[name]).fit(TABLE)
    made = stream(pieces_with(name, first, later), fitted=fitted)
    found = join_blocks([*made.batches(0, Worker(), 0)])["keep", name]
    assert (found.dtype if isinstance(found, np.ndarray) else found.type) == kind
    assert len(found) == N


@pytest.mark.parametrize(
    ("name", "first", "later", "told"),
    [
        ("id", [*range(N)], ["a"] * N, "keep='id' is string in this piece of the data, but int64"),
        ("id", [None] * N, [1.5] * N, "keep='id' is float64 in this piece of the data, but null"),
        ("y", [0] * N, [0.5] * N, "the label is float32 in this piece of the data, but int64"),
    ],
)
def test_pieces_of_other_types_are_told_of(name: str, first: Any, later: Any, told: str) -> None:
    with pytest.raises(TypeMismatch, match=re.escape(told)) as raised:
        whole(stream(pieces_with(name, first, later)))
    assert raised.value.__notes__ == ["in piece 1 of the data, rows from 0"]


def test_a_csv_is_read_into_memory(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("x\n1.0\n2.0\n")
    fitted = ff.Plan({"x": col("x") * 2}).fit({"x": [1.0]})
    (batch,) = stream(tmp_path / "x.csv", fitted=fitted, shuffle=False).batches(0, Worker(), 0)
    assert batch[DENSE].tolist() == [[2.0], [4.0]]


def test_states_are_of_one_plan_data_and_order() -> None:
    def other_plan() -> BatchStream:
        return stream(fitted=ff.Plan({"x": col("x")}, label="y").fit(TABLE))

    settings = stream().settings()
    state = {"epoch": 2, "batches": 3, "of": settings}
    assert resolve_state(state, stream().settings(), 10) == (2, 3)
    told = {
        "it has another plan": other_plan().settings(),
        "it has other data": stream(rows(seed=1)).settings(),
        "n_rows was 300, and is now 299": settings | {"n_rows": 299},
        "batch_size was 32, and is now 33": stream(batch_size=33).settings(),
        "mix was 2, and is now 3": stream(mix=3).settings(),
        "shuffle was True, and is now False": stream(shuffle=False).settings(),
    }
    for text, others in told.items():
        with pytest.raises(InvalidData, match=f"another loader: {text}.*set_epoch\\(3\\)"):
            resolve_state(state, others, 10)
    for wrong in (None, {}, {"epoch": -1, "batches": 0, "of": settings}, {"epoch": 0}):
        with pytest.raises(InvalidData, match="not a state of a FeatureLoader"):
            resolve_state(wrong, settings, 10)
    with pytest.raises(InvalidData, match="after batch 3, but an epoch has 2"):
        resolve_state(state, settings, 2)


def test_data_is_known_again_by_its_rows_wherever_it_is(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a"), written(tmp_path / "b")
    assert stream(first).settings() == stream(second).settings()
    other = TABLE.set_column(1, "x", pa.array(np.arange(N) / 7))
    changed = stream(written(tmp_path / "c", other))
    assert stream(first).settings()["data"] != changed.settings()["data"]
    for make in (lambda: parts_of(TABLE), lambda: TABLE.to_batches(max_chunksize=70)):
        settings = stream(make).settings()
        assert settings["data"] == stream(lambda: parts_of(TABLE)).settings()["data"]
        assert settings["data"] != stream(lambda: parts_of(other)).settings()["data"]
    ready = stream(EVENTS, fitted=WINDOWS.fit(EVENTS), history="batch")
    again = stream(EVENTS, fitted=WINDOWS.fit(EVENTS), history="batch")
    assert ready.settings() == again.settings()
