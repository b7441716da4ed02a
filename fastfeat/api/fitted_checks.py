"""Methods of `FittedPlan` that judge rows, and the plan itself.

`FittedPlan` imports this module when one of them is first used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastfeat.api.faces import OfRecord
from fastfeat.errors import InvalidPlan
from fastfeat.execute.call_rows import CallRows, checked_call_rows
from fastfeat.execute.lookup_tables import Tables

if TYPE_CHECKING:
    from fastfeat.trust.quality.drift import Drift
    from fastfeat.trust.quality.report import CheckReport
    from fastfeat.trust.report.report import FeatureReport
    from fastfeat.trust.verify.comparison import VerifyReport


def check(
    self: OfRecord,
    data: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    clock: Any = None,
    backend: str = "cpu",
    memory: str | int | None = None,
) -> CheckReport:
    """Check rows by the plan's contract, and return a report of the rules.

    Late columns are not needed: a rule that reads an absent late column is skipped.

    Args:
        data: The rows, in any form that `fit` takes. The report looks for the rows that break a
            rule only when you ask for them, so it keeps the columns that rules read.
        history: Earlier rows, which windows in rules see.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that
            the plan does not read are ignored. The prepared lookup of a pyarrow Table is cached
            as long as that Table lives.
        clock: The time of the check, if rules read the clock: a datetime, or a number.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.
        memory: The most memory that this process may use, such as "600MiB", or a number of
            bytes: the data is then read in passes. None reads it whole.

    Raises:
        InvalidPlan: The plan has no contract; or a rule reads the clock, and `clock` is not
            given or the data has a column of its name.
        TypeMismatch: A rule is not a bool expression.
        UnknownColumn: A table is not given.
        FastfeatError: The data cannot be read.

    Example:
        >>> plan, contract = ff.Plan({"x": col("x") + 1}), ff.Contract({"x": col("x") > 0})
        >>> fitted = plan.fit({"x": [1.0, 2.0]}, contract=contract)
        >>> fitted.check({"x": [3.0, -1.0, None]}).counts
        {'x': 2}
    """
    from fastfeat.trust.quality.checking import check_rows  # seldom needed

    if self.record.contract is None:
        raise InvalidPlan(
            "the plan has no contract. Fit it with one: plan.fit(data, contract=ff.Contract("
            "{'name': col('x') > 0})), or check with the contract alone: contract.check(data)"
        )
    given = checked_call_rows(data, None, history, tables, backend, memory)
    contract, late = self.record.contract.declaration, self.record.declaration.late
    return check_rows(contract, given, clock=clock, late=late)[1]


def drift(
    self: OfRecord,
    data: Any,
    *,
    by: str | Sequence[str] | None = None,
    reference: Any = None,
    reference_history: Any = None,
    thresholds: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    history: Any = None,
    tables: Tables = None,
    backend: str = "cpu",
    memory: str | int | None = None,
) -> Drift:
    """Compare rows with the training rows, and return the drift of each feature and input.

    The plan's profile of its training rows is sufficient (see `profile`); the rows themselves
    are not needed. A column has drifted if a figure exceeds both its limit and the deviation
    that chance explains for this number of rows; p values are not used. Points in time, and
    features that read only these, are reported but not judged.

    Args:
        data: The rows, in any form that `fit` takes: a pyarrow Table or any Arrow producer, a
            pandas or Polars DataFrame, a dict of NumPy arrays, a list of dicts, files, or a
            function that opens a reader. Late columns (label and outcomes) are not needed and
            further columns are ignored. If `data` lacks the late columns, windows use late
            values from `history` only, so features differ from those computed with labels
            present.
        by: One or more column names. The rows of each value are compared separately, with the
            rows of the same value in `reference=` or else with all training rows; see
            `Drift.segments`.
        reference: Rows to compare with instead of the training rows, such as the same season of
            the year before; features of times alone are then judged too. Or a profile of such
            rows from `profile_of`, which has no segments.
        reference_history: Earlier rows that windows see for rows of the reference. The default
            "batch" means that the reference contains its own past.
        thresholds: Limits by name, `{"psi": 0.2, "missing": 0.01, "ignore": ["month"]}`, and
            for single columns `{"columns": {"distance": {"psi": 0.3}}}`. Or the path of a TOML
            file with these in a section `[drift]`.
        history: Earlier rows of the same entities, which windows see, with late columns if
            windows read them. "batch" declares that `data` contains its own past. Without
            either, a plan with windows warns; a plan without windows ignores it. If the plan
            has a `row_id`, a row with the same id in both counts once; otherwise it counts
            twice.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that
            the plan does not read are ignored. The prepared lookup of a pyarrow Table is cached
            as long as that Table lives.
        backend: "cpu", "gpu", "reference" (slow, pure Python) or "emulated" (CUDA kernels
            compiled by g++). All give the same bits.
        memory: The most memory that this process may use, such as "600MiB", or a number of
            bytes: files are then read in passes. None reads the data whole.

    Raises:
        InvalidPlan: The plan has no profile, or `by=` has too many values.
        InvalidData: The profile in `reference=` belongs to another plan.
        InvalidConfig: An unknown threshold, a value of the wrong type, or an unknown column.
        UnknownColumn: The data lacks a column.
        FastfeatError: Any error of `transform`.

    Example:
        >>> fitted = ff.Plan({"x": col("x") + 1}).fit({"x": list(range(1_000))}, profile=True)
        >>> fitted.drift({"x": list(range(1_000))}).drifted
        []
        >>> fitted.drift({"x": list(range(500, 1_500))}).drifted
        ['x']
    """
    from fastfeat.trust.quality.row_drift import drift  # seldom needed

    return drift(
        self.record,
        checked_call_rows(data, None, history, tables, backend, memory),
        by=by,
        reference=reference,
        reference_history=reference_history,
        given=thresholds,
    )


def report(
    self: OfRecord,
    data: Any = None,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    history: Any = None,
    tables: Tables = None,
    clock: Any = None,
    thresholds: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    memory: str | int | None = None,
) -> FeatureReport:
    """Return a report on the plan, and on rows compared with the training rows, as HTML.

    It begins with a verdict. Then come the features, worst first, with their distributions then
    and now, drift, missing values, formula, visible rows and learned values; the inputs; the
    contract with the rows that break each rule; the plan as a picture; and the measured time of
    each step of the run over the rows. The page is a single file, has no script and fetches
    nothing.

    Args:
        data: Rows to compare with the training rows, in any form that `transform` takes. None
            reports on the plan and its training rows only.
        path: The file to write, such as "report.html"; an existing file is replaced. None
            writes no file: the result contains the page, and a notebook displays it.
        title: The title of the page; None for the name of the label.
        history: Earlier rows of the same entities, which windows see, with late columns if
            windows read them. "batch" declares that `data` contains its own past. Without
            either, a plan with windows warns; a plan without windows ignores it. If the plan
            has a `row_id`, a row with the same id in both counts once; otherwise it counts
            twice.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that
            the plan does not read are ignored. The prepared lookup of a pyarrow Table is cached
            as long as that Table lives.
        clock: The time of the check, if rules of the contract read the clock.
        thresholds: Limits of drift by name, `{"psi": 0.2, "missing": 0.01, "ignore":
            ["month"]}`, and for single columns `{"columns": {"distance": {"psi": 0.3}}}`. Or
            the path of a TOML file with these in a section `[drift]`.
        memory: The most memory that this process may use, such as "600MiB", or a number of
            bytes: the data is then read in chunks. None reads it whole.

    Raises:
        InvalidPlan: Rows are given, but the plan has neither a profile nor a contract.
        InvalidConfig: An unknown threshold.
        FastfeatError: Any error of `transform` about the rows, or of `check` about the
            contract.
        OSError: The file cannot be written.

    Example:
        >>> rows = {"x": [1.0, 2.0, 3.0]}
        >>> fitted = ff.Plan({"x": col("x").standard_scale()}).fit(rows, profile=True)
        >>> report = fitted.report(rows)
        >>> report.level, report.verdict, report.html[:15]
        ('ok', 'No drift', '<!doctype html>')
    """
    from fastfeat.trust.report.report import report  # seldom needed

    given = CallRows(data, None, history, tables, memory=memory)
    return report(self.record, given, path, title=title, clock=clock, thresholds=thresholds)


def verify(
    self: OfRecord,
    data: Any,
    *,
    history: Any = None,
    tables: Tables = None,
    n_rows: int = 1000,
    backends: Sequence[str] = ("cpu", "reference"),
    memory: str | int | None = None,
) -> VerifyReport:
    """Check that all ways to compute the features agree bit for bit, and return a report.

    It compares backends, numbers of threads, single rows and live rows. It also checks that no
    feature sees a later row, if features see other rows of the data or of tables by a time: it
    removes the rows after a moment, and the features of earlier rows must keep their bits. This
    is done at about 50 moments: by the label's clock if the label looks ahead, otherwise by
    each clock for the features that use it. The learned values stay. The report lists in
    `.on_word` the parts that were left out because you vouch for them, such as tables with
    lookups by key alone and features by `known_clocks`, and in `.cannot_see` the limits of the
    check.

    Args:
        data: The rows, in any form that `transform` takes; with `memory` also data larger than
            memory, as `transform_batches` takes it.
        history: Earlier rows of the same entities, which windows see; None if the data contains
            its own past.
        tables: Lookup tables by name, in any form that `data` may have. Tables and columns that
            the plan does not read are ignored. The prepared lookup of a pyarrow Table is cached
            as long as that Table lives.
        n_rows: How many rows the slow reference computes: evenly spaced ones, or those of whole
            entities if the plan has windows. If rows have a long past it computes fewer, and
            only the latest rows of the history; the report gives the numbers.
        backends: At least two backends, such as ("cpu", "gpu"). Each is compared with the
            first.
        memory: The most memory that this process should use, such as "600MiB", or a number of
            bytes. The data is then read in chunks. The sample is drawn from all of it; the
            comparison covers as many rows as fit: the first ones or, with windows, the rows of
            some entities, with their history, also in the batches of `transform_to`. None reads
            the data whole.

    Raises:
        InvalidPlan: `n_rows` is less than 1, or there are fewer than 2 backends.
        OutOfMemory: `memory` leaves no room for rows beside the present memory of the process
            and the learned keys, which the reference looks up in Python.
        BackendUnavailable: A backend does not exist, or cannot run here.

    Example:
        >>> fitted = ff.Plan({"x": col("x").log1p()}).fit({"x": [1.0, 2.0]})
        >>> fitted.verify({"x": [3.0, None]}).ok
        True
    """
    from fastfeat.live.live import begin_alone  # seldom needed
    from fastfeat.trust.verify.paths import verify

    bare = replace(self.record, contract=None)  # also verifies rows that break a rule
    given = CallRows(data, None, history, tables, memory=memory)
    return verify(bare, given, n_rows, backends, begin_alone)
