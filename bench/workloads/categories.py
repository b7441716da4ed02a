"""Codes of categories, learnt and looked up: 10 million rows of text, codes and numbers.

Codes are by frequency. Peers use the fastest way that gives codes by frequency, or any codes at
all; after the clock has stopped, their codes are reordered like fastfeat's, so that every row is
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench import frames
from bench.compare import EXACT
from bench.workload import Contender, Target, Workload

FIRST_CODE = 2  # 0 is missing, 1 is unseen
Codes = NDArray[Any]


def text(n_distinct: int, n_bytes: int) -> pa.Array:
    """Return distinct words of about `n_bytes` bytes."""
    rng = np.random.default_rng(5)
    heads = rng.integers(0, 1 << 28, n_distinct)
    return pa.array([f"{head:x}_{index}".ljust(n_bytes, "~") for index, head in enumerate(heads)])


def places(skewed: bool, n_distinct: int, n_rows: int) -> NDArray[np.int32]:
    """Return the number of each row's distinct value; skewed like the cube of a uniform number."""
    rng = np.random.default_rng(6)
    drawn = rng.random(n_rows) ** 3 if skewed else rng.random(n_rows)
    return rng.permutation(n_distinct)[(drawn * n_distinct).astype(np.int64)].astype(np.int32)


def generate_text(skewed: bool, n_bytes: int, n_rows: int) -> pa.Table:
    """Return a column of text, with a hundredth as many distinct values as rows."""
    words = text(max(1, n_rows // 100), n_bytes)
    return pa.table({"k": words.take(pa.array(places(skewed, len(words), n_rows)))})


def generate_codes(n_rows: int) -> pa.Table:
    """Return the text of `generate_text`, skewed, as a dictionary."""
    words = text(max(1, n_rows // 100), 12)
    indices = pa.array(places(True, len(words), n_rows))
    return pa.table({"k": pa.DictionaryArray.from_arrays(indices, words)})


def generate_numbers(n_rows: int) -> pa.Table:
    """Return int64, with a tenth as many distinct values as rows."""
    drawn = np.random.default_rng(7).integers(0, max(1, n_rows // 10), n_rows)
    return pa.table({"k": drawn * 7_919_000_003 + 12_345})


def fastfeat(table: pa.Table) -> Callable[[], Any]:
    """Return a call that learns the codes and looks all rows up again."""
    import fastfeat as ff

    plan = ff.Plan({"code": ff.col("k").ordinal_encode()})
    return lambda: plan.fit(table, profile=False).transform(table)


def fastfeat_at_once(table: pa.Table) -> Callable[[], Any]:
    """Return a call that learns the codes, and returns those of the same rows."""
    import fastfeat as ff

    plan = ff.Plan({"code": ff.col("k").ordinal_encode()})
    return lambda: plan.fit_transform(table)[1]


def _ranked(codes: Codes) -> tuple[Codes, Codes]:
    """Return codes by frequency, from codes in any order, and the order."""
    counts = np.bincount(codes)
    order = np.argsort(-counts, kind="stable")
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks[codes], order


def by_frequency(result: tuple[Codes, Any, Codes | None]) -> Codes:
    """Return codes in fastfeat's numbering.

    `result` has the codes of the rows, the values, and the value number of each code (None: the
    code is its place).
    """
    codes, values, order = result
    values = pa.array(values) if not isinstance(values, pa.Array) else values
    values = values if order is None else values.take(pa.array(order))
    counts = np.bincount(codes, minlength=len(values))
    columns = {"count": counts, "value": values, "code": np.arange(len(values))}
    ordered = pa.table(columns).sort_by([("count", "descending"), ("value", "ascending")])
    ranks = np.empty(len(values), np.int64)
    ranks[ordered["code"].to_numpy()] = np.arange(len(values)) + FIRST_CODE
    return ranks[codes]


def pandas(table: pa.Table) -> Callable[[], Any]:
    """Return a call of factorize, and of ranks by count in NumPy."""
    import pandas as pd

    series = frames.to_pandas(table)["k"]

    def run() -> Any:
        codes, values = pd.factorize(series)
        ranked, order = _ranked(codes)
        return ranked, values, order

    return run


def pandas_codes(table: pa.Table) -> Callable[[], Any]:
    """Return a call that ranks the existing codes of a categorical series."""
    series = frames.to_pandas(table)["k"]

    def run() -> Any:
        ranked, order = _ranked(series.cat.codes.to_numpy())
        return ranked, series.cat.categories, order

    return run


def polars_join(engine: str, table: pa.Table) -> Callable[[], Any]:
    """Return a call of group_by, a sort by count, and a join."""
    import polars as pl

    frame = frames.to_polars(table)

    def run() -> Any:
        keys = frame.lazy().group_by("k").len().sort("len", descending=True).collect()
        keys = keys.with_row_index("code")
        wanted = frame.lazy().join(keys.lazy(), on="k", how="left", maintain_order="left")
        return frames.collect(wanted.select(pl.col("code")), engine), keys["k"]

    return run


def polars_categories(table: pa.Table) -> Callable[[], Any]:
    """Return a call of a cast to categories, and of ranks by count in NumPy."""
    import polars as pl

    series = frames.to_polars(table)["k"]

    def run() -> Any:
        # New categories each time: those of an earlier call would be known already.
        column = series.cast(pl.Categorical(pl.Categories.random()))
        return _ranked(column.to_physical().to_numpy())[0], series

    return run


def polars_codes(table: pa.Table) -> Callable[[], Any]:
    """Return a call that ranks the existing codes of a categorical series."""
    series = frames.to_polars(table)["k"]

    return lambda: (_ranked(series.to_physical().to_numpy())[0], series)


def polars_rank(table: pa.Table) -> Callable[[], Any]:
    """Return a call of ranks by value: codes in another order, without counts."""
    frame = frames.to_polars(table)
    return lambda: (frame["k"].rank("dense"), frame["k"])


def of_joined(result: tuple[Any, Any]) -> Codes:
    """Return codes in fastfeat's numbering, from a frame and the keys in order."""
    frame, keys = result
    return by_frequency((frame["code"].to_numpy(), keys.to_arrow(), None))


def of_ranks(result: tuple[Any, Any]) -> Codes:
    """Return codes in fastfeat's numbering, from ranks by value and the rows."""
    ranks, rows = result
    return by_frequency((ranks.to_numpy() - 1, rows.unique().sort().to_arrow(), None))


def of_categories(result: tuple[Codes, Any]) -> Codes:
    """Return codes in fastfeat's numbering, from codes and their Polars series."""
    import polars as pl

    codes, series = result
    known = pl.DataFrame({"code": codes, "k": series.cast(pl.String)}).unique().sort("code")
    return by_frequency((codes, known["k"].to_arrow(), None))


def pyarrow(table: pa.Table) -> Callable[[], Any]:
    """Return a call of dictionary_encode, and of ranks by count in NumPy."""
    array = table["k"].combine_chunks()

    def run() -> Any:
        coded = array.dictionary_encode()
        ranked, order = _ranked(coded.indices.to_numpy())
        return ranked, coded.dictionary, order

    return run


def scikit_learn(table: pa.Table) -> Callable[[], Any]:
    """Return a call of OrdinalEncoder, whose codes are by value."""
    from sklearn.preprocessing import OrdinalEncoder

    column = table["k"].to_numpy().reshape(-1, 1)

    def run() -> Any:
        dtype: Any = np.int32  # scikit-learn's annotation is of its default
        encoder = OrdinalEncoder(dtype=dtype)
        return encoder.fit_transform(column)[:, 0], encoder.categories_[0], None

    return run


def duckdb(table: pa.Table) -> Callable[[], Any]:
    """Return a call of one query: counts, their order, and a join."""
    connection = frames.to_duckdb(table)
    query = (
        "WITH keys AS (SELECT k, row_number() OVER (ORDER BY n DESC, k) AS code "
        "FROM (SELECT k, count(*) AS n FROM kept GROUP BY k)) "
        f"SELECT (code + {FIRST_CODE - 1})::INT AS code, kept.rowid AS row "
        "FROM kept LEFT JOIN keys USING (k)"
    )
    return lambda: connection.execute(query).to_arrow_table()


FASTFEAT = (
    Contender("fastfeat", "fastfeat", fastfeat),
    Contender("fastfeat fit_transform", "fastfeat", fastfeat_at_once),
)
JOINS = tuple(
    Contender(f"Polars {engine} join", "polars", partial(polars_join, engine), of_joined)
    for engine in ("lazy", "streaming")
)
PANDAS = Contender("pandas", "pandas", pandas, by_frequency)
PYARROW = Contender("pyarrow", "pyarrow", pyarrow, by_frequency)
SCIKIT_LEARN = Contender("scikit-learn", "scikit-learn", scikit_learn, by_frequency)
DUCKDB = Contender("DuckDB", "duckdb", duckdb, frames.in_order_of_rows)


def _ordinal(
    name: str,
    what: str,
    generate: Callable[[int], pa.Table],
    peers: tuple[Contender, ...],
    targets: dict[str, float],
    **more: Any,
) -> Workload:
    return Workload(
        name=f"ordinal_{name}",
        group="categories",
        title=f"ordinal_encode of {what}, fit + transform",
        label=f"codes of {what.partition(',')[0]}",
        generate=generate,
        rows=10_000_000,
        smoke_rows=20_000,
        contenders=(*FASTFEAT, *peers),
        tolerance=EXACT,
        targets=tuple(Target("ratio", value, library) for library, value in targets.items()),
        **more,
    )


_OF_TEXT = (
    *JOINS,
    Contender("Polars categories", "polars", polars_categories, of_categories),
    PYARROW,
    PANDAS,
    DUCKDB,
)
_TEXT_TARGETS = {"pandas": 3, "polars": 2.5, "pyarrow": 2}

CATEGORIES = (
    _ordinal(
        "text",
        "short text, skewed, 100k distinct",
        partial(generate_text, True, 12),
        (*_OF_TEXT, SCIKIT_LEARN),
        _TEXT_TARGETS,
        memory=True,
        starts=True,
    ),
    _ordinal(
        "text_uniform",
        "short text, uniform, 100k distinct",
        partial(generate_text, False, 12),
        _OF_TEXT,
        _TEXT_TARGETS,
    ),
    _ordinal(
        "text_long",
        "text of 64 bytes, skewed, 100k distinct",
        partial(generate_text, True, 64),
        _OF_TEXT,
        _TEXT_TARGETS,
    ),
    _ordinal(
        "dictionary",
        "dictionary text, skewed, 100k distinct",
        generate_codes,
        (
            Contender("Polars categories", "polars", polars_codes, of_categories),
            Contender("pandas", "pandas", pandas_codes, by_frequency),
            PYARROW,
        ),
        {},
    ),
    _ordinal(
        "int64",
        "int64, uniform, 1M distinct",
        generate_numbers,
        (
            *JOINS,
            Contender("Polars rank", "polars", polars_rank, of_ranks),
            PYARROW,
            PANDAS,
            DUCKDB,
            SCIKIT_LEARN,
        ),
        {"pandas": 6, "polars": 6, "pyarrow": 4},
        memory=True,
    ),
)
