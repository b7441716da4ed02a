"""Transforms of plans with a contract: rows that break a rule are rejected or set apart first."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fastfeat.errors import InvalidPlan
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import (
    IGNORE,
    as_rereadable,
    check_option,
    guard_of,
    guarded_table_columns,
    judge,
)
from fastfeat.execute.layout import Layout, check_beside
from fastfeat.execute.pieces import budget_of_features, bytes_within, known_tables
from fastfeat.execute.to_files import digest_of_tables, write_later_rows
from fastfeat.execute.transform import transform
from fastfeat.io.budget import use_optional_budget
from fastfeat.io.sinks import results as result_forms
from fastfeat.io.sinks.manifest import Manifest
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.io.sources.frames import frame_index
from fastfeat.trust.quality.quarantine import Judge, separate_dataset, separate_rows, write_apart


def transform_with_contract(
    fitted: Fitted,
    rows: CallRows,
    on_violation: str | None,
    *,
    to: str = "arrow",
    out: Any = None,
    categories: bool = False,
) -> Any:
    """Return the features of rows, judged by the plan's contract; see `FittedPlan.transform`.

    Raises:
        InvalidPlan: "quarantine" with `rows=` or `out=`, or with a plan that has no contract.
        ContractBroken: Rows break a rule.
        FastfeatError: The features cannot be computed.
    """
    check_option(on_violation)
    if on_violation == "quarantine":
        _check_contract(fitted)
        for name, given in (("rows=", rows.rows), ("out=", out)):
            if given is not None:
                raise InvalidPlan(
                    f"{_QUARANTINE} removes rows, so it does not go with {name}. Leave out {name}"
                )
        found = separate_rows(guard_of(fitted), rows)
        index = result_forms.rows_of_index(frame_index(rows.data), found.numbers)
        accepted = rows._replace(data=found.accepted)
        features = transform(fitted, accepted, to=to, categories=categories, index=index)
        return features, found.quarantined
    guard = None if on_violation == IGNORE else guard_of(fitted)
    if guard is not None:
        rows = rows._replace(data=as_rereadable(rows.data))
        judge(guard, rows, on_violation=on_violation)
    return transform(fitted, rows, to=to, out=out, categories=categories)


def _check_contract(fitted: Fitted) -> None:
    """Raise InvalidPlan unless the plan has a contract to quarantine by."""
    if fitted.contract is None:
        raise InvalidPlan(
            f"{_QUARANTINE}: the plan has no contract. Fit it with one: fit(contract=)"
        )


def write_with_contract(
    fitted: Fitted,
    rows: CallRows,
    layout: Layout,
    digest: str,
    on_violation: str | None,
    apart: Layout | None,
) -> Manifest:
    """Write the features of rows, judged by the plan's contract; see `FittedPlan.transform_to`.

    `apart` is the output for quarantined rows, and goes with `on_violation="quarantine"` only.

    Raises:
        InvalidPlan: "quarantine" without `apart`, `apart` without "quarantine", or no contract.
        FastfeatError: The features cannot be computed or written.
    """
    check_option(on_violation)
    if (apart is not None) != (on_violation == "quarantine"):
        output = "quarantined= (the output for rows that break a rule)"
        told = f"{_QUARANTINE} needs {output}" if apart is None else f"{output} needs {_QUARANTINE}"
        raise InvalidPlan(
            f"{told}: transform_to(data, 'features/', on_violation='quarantine', "
            "quarantined='apart/')"
        )
    dataset = dataset_of(rows.data)
    budget = budget_of_features(fitted, rows._replace(data=dataset))
    write = partial(
        write_later_rows, fitted, layout=layout, digest=digest, most_bytes=bytes_within(budget)
    )
    with use_optional_budget(budget):
        if apart is None:
            return write(rows, read=dataset, on_violation=on_violation)
        _check_contract(fitted)
        known = known_tables(fitted, rows.tables)
        check_beside(apart, rows.data, rows.history, read=(dataset,))
        check_beside(layout, rows.data, rows.history, read=(dataset,))
        judge = Judge(guard_of(fitted), known, rows.backend, bytes_within(budget))
        found = separate_dataset(judge, dataset, apart)
        of_tables = digest_of_tables(known, guarded_table_columns(fitted))
        set_apart = write_apart(found, apart, digest, of_tables, layout)
        accepted = rows._replace(data=found.accepted, tables=known)
        return replace(write(accepted, on_violation=IGNORE), quarantined=set_apart)


_QUARANTINE = "on_violation='quarantine'"
