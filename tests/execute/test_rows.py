"""`rows=`: windows and lookups see all rows, learning and output take some, in their order."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastfeat as ff
from fastfeat import Expr, col
from fastfeat.errors import (
    FastfeatError,
    FastfeatWarning,
    HistoryMissing,
    InvalidData,
    Overflow,
    RowsRepeated,
    RowsWithoutLabel,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.io.arrow import call
from fastfeat.keep.artifact import artifact_bytes
from fastfeat.learn.fit import fit_on
from fastfeat.learn.training_data import prepare, share
from fastfeat.learn.training_features import later_features, training_features

FEW = settings(max_examples=10 + settings().max_examples // 20)
WEEK = ff.window(7, by="card", time="t")
X, C = col("x"), col("c")
OVER = {
    "mean": X.mean(over=WEEK),
    "n": ff.count(over=WEEK),
    "text": C.last(over=WEEK),
    "nested": X.diff(over=WEEK).max(over=ff.window(20, time="t")),
}
SHOPS = pa.table({"id": ["u", "v"], "rate": [0.5, 2.0]})


def learning(over: Mapping[str, Expr]) -> dict[str, Expr]:
    """Return features that learn in every way, of what windows give."""
    shops = ff.lookup("shops", by={"c": "id"})
    return {
        "scaled": over["mean"].standard_scale(),
        "n": over["n"],
        "code": over["text"].ordinal_encode(),
        "nested": over["nested"].impute("median").robust_scale(),
        "rank": X.quantile_transform(n_quantiles=4),
        "by": X - X.mean(by="c"),
        "hot": C.one_hot_encode(),
        "upper": C.str.to_uppercase().count_encode(),
        "rate": shops.col("rate").max_abs_scale(),
        "target": C.target_encode("y"),
        "of_window": ff.cross(C, over["n"]).target_encode("y", folds=3, smooth=2.0),
        "woe": C.woe_encode("y", folds=2, fold_by="card"),
        "by_time": C.target_encode("y", time="t", folds=3),
    }


def events(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "t": pa.array(rng.integers(0, 40, n), mask=rng.random(n) < 0.1),
            "card": pa.array(rng.choice(list("ab"), n).tolist(), pa.string()),
            "x": pa.array(rng.integers(-9, 9, n).astype(float), mask=rng.random(n) < 0.2),
            "c": pa.array(rng.choice(["u", "v", "w"], n).tolist(), mask=rng.random(n) < 0.1),
            "y": pa.array(rng.integers(0, 2, n), mask=rng.random(n) < 0.1),
            "id": np.arange(n),
        }
    )


def quietly(run: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FastfeatWarning)
        return run(*args, **options)


def learnt(fitted: ff.FittedPlan) -> list[str]:
    """Return what fit has learnt as text; names of columns may differ."""
    values = fitted.learnt().values()
    return [str(v.to_pydict().values() if isinstance(v, pa.Table) else v) for v in values]


def by_hand(data: pa.Table, history: Any = "batch", **options: Any) -> tuple[ff.Plan, pa.Table]:
    """Return the plan over what windows give of all rows, and the data with that in columns."""
    windows = quietly(ff.Plan({f"w_{k}": w for k, w in OVER.items() if k != "text"}).fit, data)
    found = quietly(windows.transform, data, history=history)
    past = data if isinstance(history, str) else history
    texts = quietly(ff.Plan({"w": OVER["text"].ordinal_encode()}).fit, pa.concat_tables([past]))
    codes = quietly(texts.transform, data, history=history)["w"].combine_chunks()
    words = quietly(texts.encoding("w").inverse, codes)
    for name in found.column_names:
        data = data.append_column(name, found[name])
    data = data.append_column("w_text", words.cast(pa.string()))
    return ff.Plan(learning({k: col(f"w_{k}") for k in OVER}), label="y", **options), data


def numbers_in(n: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True)


PLAN = ff.Plan(learning(OVER), label="y", keep=["id", "c"])
TABLES = {"shops": SHOPS}


@FEW
@given(st.integers(5, 40), st.integers(0, 10**6), st.data())
def test_fit_on_rows_is_as_fit_of_these_rows_alone_but_for_windows(
    n: int, seed: int, data: st.DataObject
) -> None:
    table = events(n, seed)
    rows = data.draw(numbers_in(n))
    fitted, features = quietly(PLAN.fit_transform, table, rows=rows, tables=TABLES)
    plan, whole = by_hand(table, keep=["id", "c"])
    alone, expected = quietly(plan.fit_transform, whole.take(pa.array(rows)), tables=TABLES)
    assert features.equals(expected)
    assert features["id"].to_pylist() == rows
    assert learnt(fitted) == learnt(alone)
    assert fitted.n_rows == len(rows)
    others = data.draw(st.lists(st.integers(0, n - 1), max_size=2 * n))
    found = quietly(fitted.transform, table, rows=others, tables=TABLES)
    there = whole.take(pa.array(others, pa.int64()))
    assert found.equals(quietly(alone.transform, there, tables=TABLES))


@pytest.mark.parametrize(
    "backend", ["reference", pytest.param("emulated", marks=pytest.mark.emulator)]
)
def test_every_backend_learns_the_same_of_rows(backend: str) -> None:
    table, rows = events(60, 3), [*range(50, 5, -1)]
    expected, wanted = quietly(PLAN.fit_transform, table, rows=rows, tables=TABLES)
    fitted, features = quietly(PLAN.fit_transform, table, rows=rows, tables=TABLES, backend=backend)
    assert features.equals(wanted)
    assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)
    others = {"rows": [59, 0, 1, 59], "tables": TABLES}
    found = quietly(fitted.transform, table, backend=backend, **others)
    assert found.equals(quietly(expected.transform, table, **others))


def test_a_mask_is_the_numbers_of_its_rows() -> None:
    table, mask = events(50, 1), np.random.default_rng(0).random(50) < 0.5
    fitted, features = quietly(PLAN.fit_transform, table, rows=mask, tables=TABLES)
    same, also = quietly(PLAN.fit_transform, table, rows=np.flatnonzero(mask), tables=TABLES)
    assert features.equals(also)
    assert artifact_bytes(fitted.record) == artifact_bytes(same.record)
    assert artifact_bytes(
        quietly(PLAN.fit, table, rows=mask, tables=TABLES).record
    ) == artifact_bytes(same.record)


def test_all_rows_are_as_none() -> None:
    table = events(30, 2)
    expected, wanted = quietly(PLAN.fit_transform, table, tables=TABLES)
    for rows in (np.ones(30, bool), np.arange(30)):
        fitted, features = quietly(PLAN.fit_transform, table, rows=rows, tables=TABLES)
        assert features.equals(wanted)
        assert artifact_bytes(fitted.record) == artifact_bytes(expected.record)


@FEW
@given(st.integers(2, 30), st.integers(0, 10**6), st.data())
def test_rows_that_stand_twice_count_twice(n: int, seed: int, data: st.DataObject) -> None:
    features = {
        k: f for k, f in learning(OVER).items() if k not in ("target", "of_window")
    }  # the others have folds by the card, and by time, or none
    table, rows = events(n, seed), data.draw(st.lists(st.integers(0, n - 1), min_size=1))
    fitted, found = quietly(
        ff.Plan(features, label="y").fit_transform, table, rows=rows, tables=TABLES
    )
    plan, whole = by_hand(table)
    plan = ff.Plan({k: plan.features[k] for k in features}, label="y")
    alone, expected = quietly(plan.fit_transform, whole.take(pa.array(rows)), tables=TABLES)
    assert found.equals(expected)
    assert fitted.n_rows == len(rows)
    assert learnt(fitted) == learnt(alone)


def test_a_row_in_two_folds_of_an_encoder_is_an_error() -> None:
    table = events(40, 0)
    plan = ff.Plan({"c": C.target_encode("y")}, label="y")
    with pytest.raises(InvalidData, match=r"row 7 more than once, and col\('c'\).target_encode"):
        quietly(plan.fit, table, rows=[*range(20), *[7] * 9])
    given_folds = table.append_column("fold", pa.array(np.arange(40) % 3))
    fitted = quietly(
        ff.Plan({"c": C.target_encode("y", fold="fold")}, label="y").fit,
        given_folds,
        rows=[*range(20), *[7] * 9],
    )
    assert fitted.n_rows == 29


def test_windows_over_what_is_learnt_see_all_rows() -> None:
    table, rows = events(50, 5), [*range(3, 40, 2)]
    centred = {"sum": (X - X.mean()).sum(over=WEEK), "back": (X - X.mean()).lag(1, over=WEEK)}
    fitted, found = quietly(ff.Plan(centred).fit_transform, table, rows=rows)
    mean = call("mean", table["x"].take(pa.array(rows))).as_py()
    literal = {"sum": (X - mean).sum(over=WEEK), "back": (X - mean).lag(1, over=WEEK)}
    expected = quietly(ff.Plan(literal).fit(table).transform, table, history="batch")
    assert found.equals(expected.take(pa.array(rows)))
    others = [0, 49, 2]
    assert fitted.transform(table, rows=others, history="batch").equals(
        expected.take(pa.array(others))
    )


@pytest.mark.parametrize("row_id", [None, "id"])
def test_windows_see_the_history_too(row_id: str | None) -> None:
    table = events(90, 6).sort_by("t")
    history, data = table.slice(0, 40), table.slice(30 if row_id else 40)
    plan = ff.Plan(learning(OVER), label="y", keep=["id"], row_id=row_id)
    beside = {"history": history, "tables": TABLES}
    rows = [*range(data.num_rows - 1, 4, -2)]
    fitted, found = quietly(plan.fit_transform, data, rows=rows, **beside)
    every = quietly(fitted.transform, data, **beside)
    later = quietly(fitted.transform, data, rows=rows, **beside)
    assert later.equals(every.take(pa.array(rows)))
    of_all = quietly(plan.fit_transform, data, **beside)[1].take(pa.array(rows))
    assert found["n"].equals(of_all["n"])
    assert not found["n"].equals(
        quietly(plan.fit_transform, data, rows=rows, tables=TABLES)[1]["n"]
    )


def test_a_matrix_has_the_rows_in_their_order() -> None:
    table, rows = events(60, 7), np.random.default_rng(1).permutation(60)[:40]
    fitted, found = quietly(PLAN.fit_transform, table, rows=rows, tables=TABLES)
    _, matrix = quietly(PLAN.fit_transform, table, rows=rows, tables=TABLES, to="numpy")
    later = quietly(fitted.transform, table, rows=rows, tables=TABLES, to="numpy")
    for k, name in enumerate(fitted.feature_names):
        column = found[name].to_numpy().astype(float)
        assert np.array_equal(matrix[:, k], column, equal_nan=True)
    at = fitted.feature_names.index("n")
    assert np.array_equal(later[:, at], matrix[:, at], equal_nan=True)


@pytest.mark.emulator
@pytest.mark.parametrize("to", ["cupy", "cupy_columns"])
def test_features_of_rows_stay_on_a_device(to: str) -> None:
    table, rows = events(40, 8), [*range(30, 3, -3)]
    plan = ff.Plan({"m": OVER["mean"].standard_scale(), "c": C.target_encode("y")}, label="y")
    options = {"rows": rows, "backend": "emulated", "to": to}
    fitted, found = quietly(plan.fit_transform, table, **options)
    alone, wanted = quietly(plan.fit_transform, table, rows=rows, to="numpy")
    later = quietly(fitted.transform, table, **options)
    expected = quietly(alone.transform, table, rows=rows, to="numpy")
    for arrays, matrix in ((found, wanted), (later, expected)):
        columns = arrays.values() if to == "cupy_columns" else arrays.get().T
        for column, values in zip(columns, matrix.T, strict=True):
            here = column.get() if to == "cupy_columns" else column
            assert np.array_equal(here, values, equal_nan=True)


@pytest.mark.emulator
def test_rows_of_data_on_a_device_are_an_error() -> None:
    plan = ff.Plan({"x": X})
    there = plan.fit({"x": [1.0]}).transform(
        {"x": [1.0, 2.0]}, to="cupy_columns", backend="emulated"
    )
    with pytest.raises(InvalidData, match="rows= cannot be combined with data in device memory"):
        plan.fit(there, rows=[1], backend="emulated")


def test_rows_fill_the_buffer_of_a_user() -> None:
    table = events(20, 9)
    fitted = quietly(PLAN.fit, table, tables=TABLES)
    numbers = fitted.select(["scaled", "n", "target"])
    out = np.empty((3, 3))
    found = quietly(numbers.transform, table, rows=[4, 4, 2], to="numpy", out=out)
    assert found is out
    expected = quietly(numbers.transform, table, to="numpy")[[4, 4, 2]]
    assert np.array_equal(out, expected, equal_nan=True)
    with pytest.raises(InvalidData, match="shape"):
        quietly(numbers.transform, table, rows=[4], to="numpy", out=out)


def test_kept_columns_have_their_own_type() -> None:
    words = pa.array(["p", "q", None, "p"])
    data = pa.table(
        {
            "x": [1.0, 2.0, 3.0, 4.0],
            "view": words.cast(pa.string_view()),
            "coded": words.dictionary_encode(),
            "runs": call("run_end_encode", words),
        }
    )
    fitted, found = ff.Plan({"x": X}, keep=["view", "coded", "runs"]).fit_transform(
        data, rows=[3, 1]
    )
    later = fitted.transform(data, rows=[3, 1])
    for table in (found, later):
        assert table.schema.equals(data.schema)
        assert table.to_pydict() == {
            "x": [4.0, 2.0],
            **{name: ["p", "q"] for name in data.column_names[1:]},
        }


def coded_in_pieces(entries: str) -> pa.ChunkedArray:
    """Return a column of two pieces, of which Arrow does not unify the dictionaries.

    Args:
        entries: "null", of which one is, or "many", more than the codes can number.
    """
    codes = pa.array([k % 90 for k in range(100)], pa.int8())
    of_pieces = [[*(f"{piece}{k}" for k in range(89)), "last"] for piece in "ab"]
    if entries == "null":
        of_pieces = [[*texts[:-1], None] for texts in of_pieces]
    pieces = [pa.DictionaryArray.from_arrays(codes, pa.array(texts)) for texts in of_pieces]
    return pa.chunked_array(pieces)


@pytest.mark.parametrize("entries", ["many", "null"])
def test_rows_of_pieces_whose_dictionaries_do_not_go_together(entries: str) -> None:
    coded = coded_in_pieces(entries)
    data = pa.table({"s": coded, "y": [k % 2 for k in range(200)]})
    plan = ff.Plan(
        {"code": col("s").ordinal_encode(), "rate": col("s").target_encode("y")},
        label="y",
        keep=["s"],
    )
    chosen = [150, 3, 111, *range(90, 110), 2]
    fitted, found = plan.fit_transform(data, rows=chosen)
    plain = pa.table({"s": coded.to_pylist(), "y": data["y"]})
    alone, expected = plan.fit_transform(plain.take(pa.array(chosen)))
    features = ["code", "rate"]
    assert found.select(features).equals(expected.select(features))
    assert found["s"].type == coded.type
    assert found["s"].to_pylist() == [coded[row].as_py() for row in chosen]
    later = fitted.transform(data, rows=chosen[:2])
    assert later["code"].to_pylist() == alone.transform(data)["code"].take([150, 3]).to_pylist()
    for fold in plan.cross_fit(data, 2):
        assert fold.test["s"].to_pylist() == [coded[int(k)].as_py() for k in fold.test_rows]


@pytest.mark.parametrize("entries", ["many", "null"])
def test_what_looks_at_rows_takes_such_dictionaries_too(entries: str) -> None:
    data = pa.table({"s": coded_in_pieces(entries), "t": [0] * 200, "id": [*range(200)]})
    seen = ff.Plan({"n": col("s").count(over=ff.window(time="t"))})
    with pytest.warns(RowsRepeated, match="history= repeats 51 rows of the data"):
        seen.fit(data.slice(99), history=data.slice(0, 150))
    labelled = ff.Plan({"t": col("t") + 1}, label="s")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsWithoutLabel)
        folds = [*labelled.cross_fit(data, ByLabel())]
    assert [len(fold.test_rows) for fold in folds] == [2]


class ByLabel:
    """A splitter that tests the first two rows of one label."""

    def split(self, x: Any, y: Any, groups: Any) -> list[tuple[Any, Any]]:
        is_tested = y == y[0]
        return [(np.flatnonzero(~is_tested), np.flatnonzero(is_tested)[:2])]


AHEAD = {"later": X.last(over=ff.ahead(5, by="card", time="t")) > 0}


def test_rows_without_a_label_ahead_learn_nothing_and_have_later_features() -> None:
    table = events(60, 10)
    encoded = {"c": C.target_encode("later", fold_by="card", folds=2), "x": X.standard_scale()}
    plan = ff.Plan(encoded, label=AHEAD, keep=["id"])
    rows = np.random.default_rng(2).permutation(60)[:45]
    with pytest.warns(RowsWithoutLabel, match=r"of 45 training rows have no label"):
        fitted, found = plan.fit_transform(table, rows=rows)
    label = quietly(fitted.label, table)
    taken = table.append_column("later", label).take(pa.array(rows))
    known = taken["later"].is_valid()
    alone, expected = quietly(
        ff.Plan(encoded, label="later", label_delay=5, keep=["id"]).fit_transform,
        taken.filter(known),
    )
    assert (fitted.n_rows, fitted.record.n_rows_without_label) == (alone.n_rows, 45 - alone.n_rows)
    assert found.filter(known).equals(expected)
    others = taken.filter(call("invert", known))
    rest = found.filter(call("invert", known))
    assert rest.equals(quietly(alone.transform, others))
    assert quietly(fitted.label, table, rows=rows).equals(label.take(pa.array(rows)))
    assert found["id"].to_pylist() == rows.tolist()


def test_the_label_of_rows_is_that_among_all() -> None:
    data = pa.table({"y": pa.array(["a", None, "b"]).dictionary_encode(), "x": [1.0, 2.0, 3.0]})
    fitted = ff.Plan({"x": X}, label="y").fit(data)
    assert fitted.label(data, rows=[2, 0, 0]).to_pylist() == ["b", "a", "a"]
    assert fitted.label(data, rows=[1]).type == data["y"].type
    computed = ff.Plan({"f": col("z")}, label={"large": X > 1.5}).fit({"x": [1.0], "z": [2.0]})
    assert computed.label(data, rows=[2, 0]).to_pylist() == [True, False]


def test_a_row_that_is_not_learnt_from_may_fail() -> None:
    data = {
        "t": [0, 1, 2, 3],
        "x": [1, 2**62, 2**62, 5],
        "d": ["2001-01-02", "2001-03-04", "x", "2001-05-06"],
    }
    both = ff.window(rows=2, time="t", closed="right")
    features = {
        "sum": X.sum(over=both).standard_scale(),
        "n": ff.count(over=both),
        "month": col("d").str.to_datetime("%Y-%m-%d").dt.month(),
    }
    fitted, found = ff.Plan(features).fit_transform(data, rows=[0, 1])
    assert found["n"].to_pylist() == [1, 2]
    assert found["month"].to_pylist() == [1, 3]
    later = fitted.transform(data, rows=[3, 0], history="batch")
    assert later["month"].to_pylist() == [5, 1]
    prepared = prepare(ff.Plan(features).declaration, CallRows(data))
    share(prepared)
    assert len(prepared.rows.made) > 0  # the count, which every row has
    again, training = fit_on(prepared, np.arange(2), transforms=True)
    assert training_features(again, training, "arrow").equals(found)
    with pytest.raises(Overflow, match="row 2: the sum"):
        ff.Plan(features).fit(data, rows=[0, 2])
    with pytest.raises(InvalidData, match="row 2: 'x' is not a time"):
        fitted.select("month").transform(data, rows=[0, 2])


def test_messages_have_the_number_of_a_row_in_the_data() -> None:
    data = {"i": [1, 2**62, 3], "x": [1.0, np.inf, 2.0], "k": ["a", "a", "b"], "y": [1, 2, np.inf]}
    doubled = ff.Plan({"d": col("i") * 4}).fit(data, rows=[0, 2])
    with pytest.raises(Overflow, match=r"feature 'd', row 1 \(i=4611686018427387904\)"):
        doubled.transform(data, rows=[2, 1])
    for feature, row in (
        ((col("i") * 4).mean(), 1),
        (X.mean(), 1),
        (col("k").target_encode("y"), 2),
    ):
        with pytest.raises(FastfeatError, match=f"row {row}"):
            ff.Plan({"f": feature - 1.0}, label="y").fit(data, rows=[0, row, row - 1])


def test_warnings_are_of_the_rows_that_are_wanted() -> None:
    data = {"t": [0, 1, 20, 21], "x": [1.0, 2.0, 3.0, 4.0]}
    fitted = ff.Plan({"s": X.sum(over=ff.window(7, time="t"))}).fit(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted.transform(data, rows=[3])["s"].to_pylist() == [3.0]
    with pytest.warns(HistoryMissing, match=": 1 row of"):
        fitted.transform(data, rows=[3, 1])
    fitted = ff.Plan({"s": X.sum(over=ff.window(7, time="t"))}).fit(data)
    with pytest.warns(RowsRepeated, match=r"1 row of the data \(first: row 0"):
        fitted.transform(data, rows=[3], history={"t": [0], "x": [1.0]})


def test_columns_of_the_rows_are_read_only_where_they_are_needed() -> None:
    data = {"t": [0, 1, 2], "x": [1.0, 2.0, 3.0]}
    fitted = ff.Plan({"n": ff.count(over=ff.window(7, time="t"))}).fit(data, rows=[2, 0])
    assert fitted.transform(data, rows=[2, 0], history="batch")["n"].to_pylist() == [2, 0]


def test_fits_of_one_preparation_are_as_fits_of_the_data() -> None:
    table = events(80, 11)
    prepared = prepare(PLAN.declaration, CallRows(table, tables=TABLES), further=PLAN.keep)
    quietly(share, prepared)
    shared = set(prepared.rows.made)
    for seed in range(3):
        wanted = np.random.default_rng(seed).permutation(80)[:50]
        others = np.setdiff1d(np.arange(80), wanted)
        fitted, training = quietly(fit_on, prepared, wanted, transforms=True)
        expected, features = quietly(
            PLAN.fit_transform, table, rows=wanted, tables=TABLES, profile=False
        )
        assert artifact_bytes(fitted) == artifact_bytes(expected.record)
        assert training_features(fitted, training, "arrow").equals(features)
        later = quietly(expected.transform, table, rows=others, tables=TABLES)
        assert later_features(fitted, training, others, "arrow").equals(later)
        assert set(prepared.rows.made) == shared  # fits leave nothing behind


def test_what_one_fit_needs_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastfeat.execute import windows as made

    table, n_runs = events(80, 12), []

    def run_over(*args: Any) -> Any:
        n_runs.append(1)
        return over(*args)

    over = made.run_over
    monkeypatch.setattr(made, "run_over", run_over)
    prepared = prepare(PLAN.declaration, CallRows(table, tables=TABLES), further=PLAN.keep)
    quietly(share, prepared)
    n_shared = len(n_runs)
    assert n_shared > 0
    for _ in range(2):
        fitted, training = quietly(fit_on, prepared, np.arange(60), transforms=True)
        training_features(fitted, training, "arrow")
        later_features(fitted, training, np.arange(60, 80), "arrow")
    assert len(n_runs) == n_shared
