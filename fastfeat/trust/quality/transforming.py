"""Transforms of plans with a contract: rows judged first, and those that break a rule set apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastfeat.errors import InvalidPlan
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import (
    IGNORE,
    check_option,
    guard_of,
    judge,
    read_again,
    table_columns_judged,
)
from fastfeat.execute.layout import Layout, check_beside
from fastfeat.execute.lookup_tables import Tables
from fastfeat.execute.pieces import budget_of_features, bytes_within, known_tables
from fastfeat.execute.to_files import digest_of_tables, write_later_rows
from fastfeat.execute.transform import transform
from fastfeat.io.budget import bounded
from fastfeat.io.sinks.manifest import Manifest
from fastfeat.io.sinks.results import frame_index, rows_of_index
from fastfeat.io.sources.dataset import dataset_of
from fastfeat.trust.quality.quarantine import Judge, divided, quarantined, write_apart


def transform_judged(
    fitted: Fitted,
    data: Any,
    on_violation: str | None,
    *,
    rows: Any,
    tables: Tables,
    backend: str,
    **options: Any,
) -> Any:
    """Return the features of rows that hold the rules; see `FittedPlan.transform`.

    Args:
        fitted: the plan, which need not have a contract.
        data: as of `FittedPlan.transform`, as the following are.
        on_violation: what becomes of rows that break a rule.
        rows: which of the rows.
        tables: lookup tables.
        backend: its name.
        options: the others.

    Raises:
        InvalidPlan: "quarantine" with `rows=` or `out=`, or of a plan without a contract.
        ContractBroken: rows break a rule.
        FastfeatError: as `FittedPlan.transform`.
    """
    check_option(on_violation)
    beside: Any = {"tables": tables, "backend": backend}
    if on_violation == "quarantine":
        return _apart(fitted, data, rows, beside, options)
    guard = None if on_violation == IGNORE else guard_of(fitted)
    if guard is not None:
        data = read_again(data)
        judge(guard, data, rows=rows, on_violation=on_violation, **beside)
    return transform(fitted, data, rows=rows, **beside, **options)


def _apart(fitted: Fitted, data: Any, rows: Any, beside: Any, options: Any) -> tuple[Any, Any]:
    """Return the features of the rows that hold the rules, and the other rows."""
    _check_contract(fitted)
    for name, given in (("rows=", rows), ("out=", options["out"])):
        if given is not None:
            raise InvalidPlan(f"{_QUARANTINE} divides the rows of the data: leave {name} out")
    found = quarantined(guard_of(fitted), data, **beside)
    index = rows_of_index(frame_index(data), found.numbers)
    return transform(fitted, found.accepted, index=index, **beside, **options), found.quarantined


def _check_contract(fitted: Fitted) -> None:
    """Raise where a plan has no contract to set rows apart by.

    Raises:
        InvalidPlan: it is so.
    """
    if fitted.contract is None:
        raise InvalidPlan(
            f"{_QUARANTINE}: the plan has no contract. Fit it with one: fit(contract=)"
        )


def write_judged(
    fitted: Fitted,
    data: Any,
    layout: Layout,
    digest: str,
    on_violation: str | None,
    apart: Layout | None,
    *,
    history: Any,
    tables: Tables,
    backend: str,
    memory: str | int | None,
) -> Manifest:
    """Write the features of rows that hold the rules; see `FittedPlan.transform_to`.

    Args:
        fitted: the plan, which need not have a contract.
        data: as of `FittedPlan.transform_to`, as the following are.
        layout: where features go.
        digest: of the fitted plan.
        on_violation: what becomes of rows that break a rule.
        apart: where such rows go, of "quarantine" alone.
        history: earlier rows.
        tables: lookup tables.
        backend: its name.
        memory: the budget.

    Raises:
        InvalidPlan: "quarantine" without a place, or a place without it; a plan without a contract.
        FastfeatError: as `FittedPlan.transform_to`.
    """
    check_option(on_violation)
    if (apart is not None) != (on_violation == "quarantine"):
        raise InvalidPlan(
            f"{_QUARANTINE} and quarantined=, the place where rows go that break a rule, come "
            "together: transform_to(data, 'features/', on_violation='quarantine', "
            "quarantined='apart/')"
        )
    dataset = dataset_of(data)
    budget = budget_of_features(fitted, dataset, tables, memory)
    most_bytes = bytes_within(budget)
    options: Any = {"history": history, "backend": backend, "most_bytes": most_bytes}
    with bounded(budget):
        if apart is None:
            options |= {"tables": tables, "on_violation": on_violation}
            return write_later_rows(fitted, data, layout, digest, read=dataset, **options)
        _check_contract(fitted)
        known = known_tables(fitted, tables)
        check_beside(apart, data, history, read=(dataset,))
        check_beside(layout, data, history, read=(dataset,))
        rows = divided(Judge(guard_of(fitted), known, backend, most_bytes), dataset, apart)
        of_tables = digest_of_tables(known, table_columns_judged(fitted))
        set_apart = write_apart(rows, apart, digest, of_tables, layout)
        options |= {"tables": known, "on_violation": IGNORE}
        written = write_later_rows(fitted, rows.accepted, layout, digest, **options)
        return replace(written, quarantined=set_apart)


_QUARANTINE = "on_violation='quarantine'"
