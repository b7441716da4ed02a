"""Methods of `FittedPlan` that return its learned values, its label and its text.

`FittedPlan` imports this module when one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastfeat.api.faces import OfRecord
from fastfeat.execute.call_rows import checked_call_rows
from fastfeat.execute.lookup_tables import Tables
from fastfeat.io.arrow import ChunkedArray, Table
from fastfeat.learn import labels
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.tell import explain as explanations
from fastfeat.tell import fitted_tables

if TYPE_CHECKING:
    from fastfeat.api.compile import Compiled
    from fastfeat.tell.fitted_tables import Encoding


def learnt(self: OfRecord) -> dict[str, Any]:
    """Return a dict of the learned values, by aggregate as text; None is missing.

    Values that are learned per key are a table of the key (named by its column, or "key") and
    the value: first the rows for missing, unseen and rare keys, then the other keys.

    Times are datetime, date, time or timedelta. Times that Python cannot represent, such as
    nanoseconds, are pyarrow scalars.

    Example:
        >>> ff.Plan({"x": col("x") - col("x").mean()}).fit({"x": [1.0, 2.0, 6.0]}).learnt()
        {"col('x').mean()": 3.0}
    """
    return fitted_tables.learnt_values(self.record)


def vocabulary(self: OfRecord, feature: str) -> Table:
    """Return the categories of an encoder as a table of code, value and number of rows.

    Args:
        feature: A feature that contains an encoder with categories, or one of its output
            columns. If it contains several encoders, the first counts.

    Returns:
        A table with one row per code and these columns:

        - "code".
        - One column for each part of the key, named by its data column, or "value".
        - "count", the number of training rows.

        Code 0, missing, comes first, then the codes of unseen and rare categories, then the
        categories. If several codes share the rare categories, their counts are missing. A
        category without rows keeps its code from an earlier fit (`stable=`).

    Raises:
        InvalidPlan: There is no such feature, or it has no categories.

    Example:
        >>> fitted = ff.Plan({"k": col("k").ordinal_encode()}).fit({"k": ["b", "a", "b"]})
        >>> fitted.vocabulary("k").to_pylist()[-2:]
        [{'code': 2, 'k': 'b', 'count': 2}, {'code': 3, 'k': 'a', 'count': 1}]
    """
    return fitted_tables.vocabulary(self.record, feature)


def encoding(self: OfRecord, feature: str) -> Encoding:
    """Return the encoding of a feature: its number of codes, and what each code stands for.

    Args:
        feature: A feature that contains an encoder with categories, or one of its output
            columns. If it contains several encoders, the first counts.

    Raises:
        InvalidPlan: There is no such feature, or it has no categories.

    Example:
        >>> fitted = ff.Plan({"k": col("k").ordinal_encode()}).fit({"k": ["a", "b", "b"]})
        >>> encoding = fitted.encoding("k")
        >>> encoding.n_codes, encoding.categories.to_pylist()
        (4, ['__other', 'b', 'a'])
        >>> encoding.inverse([2, 3]).to_pylist()
        ['b', 'a']
    """
    return fitted_tables.encoding_of(self.record, feature)


def label(
    self: OfRecord,
    data: Any,
    *,
    rows: Any = None,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
) -> ChunkedArray:
    """Return the label of rows as `fit` computes it, from late columns or later rows.

    Args:
        data: The rows, with the columns that the label is computed from, in any form that `fit`
            takes.
        rows: The rows of `data` to compute: a bool for each row, or row numbers; None for all
            rows. A label that looks ahead still sees all rows of the data.
        history: Earlier rows; a label that looks ahead sees these rows too.
        tables: The lookup tables in which the label looks ahead, by name.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.

    Returns:
        One value per row. It is missing if a window ahead ends after the recorded rows.

    Raises:
        InvalidPlan: The plan has no label.
        UnknownColumn: The data, the history or a table lacks a column.
        InvalidData: The label looks ahead, and the data is in device memory.

    Example:
        >>> plan = ff.Plan({"x": col("x")}, label={"is_late": col("delay") > 15})
        >>> fitted = plan.fit({"x": [1, 2, 3], "delay": [10, 20, None]})
        >>> fitted.label({"x": [1, 2, 3], "delay": [10, 20, None]}).to_pylist()
        [False, True, None]
    """
    return labels.label_of(self.record, checked_call_rows(data, rows, history, tables, backend))


def compile(self: OfRecord, *, backend: str = "cpu") -> Compiled:
    """Compile the kernels that transform rows; return a record of them.

    It compiles the kernels that `transform` and `transform_row` would compile at their first
    run into the cache folder (FASTFEAT_CACHE_DIR), for instance for an image that serves the
    plan.

    Args:
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.

    Returns:
        A record of how many kernels were compiled, how many were cached already, the seconds
        that this took, and notes about kernels that may still have to be compiled later.

    Raises:
        BackendUnavailable: The backend does not exist, or cannot run here.
    """

    from fastfeat.api.compile import compile_fitted  # seldom needed

    return compile_fitted(self.record, backend)


def explain(self: OfRecord, stage: str = "physical") -> str:
    """Return the fitted plan as text.

    "pandas" and "polars" give a Python module that uses this library and has one function,
    `features(data, history=None, tables=None)`, which returns a DataFrame of the features.
    Learned values appear in it as numbers, column names as string literals. It gives the same
    integers, bools and missing values as `transform`, and floats that may differ in the last
    digits. It makes none of the checks of `transform`: an integer that overflows wraps around.
    `fastfeat bench` times it.

    Args:
        stage: "plan" (features, and passes over the training rows), "bound" (types),
            "optimized" (shared expressions, and constant ones computed before the rows),
            "schedule" (the tasks of a run, in rounds), "physical" (loops), "cpu" and "cuda"
            (generated kernels), "leakage" (the rows that each feature can see), "live" (how
            rows are computed as they arrive, and the contents of a live state), "pandas" and
            "polars" (the features as code of that library).

    Raises:
        InvalidPlan: An unknown stage.
        NotExportable: The library cannot compute some features as the plan does. The message
            names each feature and the reason; use `select` to leave them out.

    Example:
        >>> fitted = ff.Plan({"late": col("delay") > 15}).fit({"delay": [3.0, 40.0]})
        >>> [line for line in fitted.explain("polars").splitlines() if "late" in line]
        ["            (c1.fill_nan(None) > 15.0).alias('late'),"]
    """
    record = self.record
    # an expression, given by mistake, has no truth value
    is_text = isinstance(stage, str)  # pyright: ignore[reportUnnecessaryIsInstance]
    if is_text and stage in explanations.OF_PEERS:
        from fastfeat.tell.peers.code import code_of  # seldom needed

        return code_of(record, stage)
    with use_zone_tables(record.zones):
        return explanations.explain_plan(
            *(record.declaration, stage, record.inputs, record.nodes, record.tables),
            codes=record.typed.codes,
        )
