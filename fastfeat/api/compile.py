"""Compile the kernels of a plan before there is data, for example when a container image is built.

A kernel is a compiled function. Which kernels a plan needs depends on the types of its columns,
never on their values. So the plan is fitted and applied to made-up rows, and each kernel that these
calls ask for is compiled into the cache folder. Where the number of rows decides between kernels,
all of them are compiled.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import partial
from typing import Any

from fastfeat_kernels.records import dataclass

from fastfeat.api.example_rows import make_example_rows
from fastfeat.backends import DEVICE_NAMES, backend_named
from fastfeat.engine.kernel_cache import UsedKernel, observe_kernels
from fastfeat.errors import (
    FastfeatError,
    FastfeatWarning,
    KernelsNotKept,
    Overflow,
    TypeMismatch,
    counted,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Fitted
from fastfeat.execute.guard import guard_of, row_inputs
from fastfeat.execute.history import BATCH, id_column_names
from fastfeat.execute.lookup_tables import Tables, resolve_schemas
from fastfeat.execute.prepared import prepare
from fastfeat.execute.row.one_row import transform_row
from fastfeat.execute.transform import transform
from fastfeat.io.columns.types import UnsupportedType
from fastfeat.io.sources.schema import read_schema
from fastfeat.ir.dtypes import INT64, DType
from fastfeat.ir.node import postorder
from fastfeat.ir.scope import is_over, order_of
from fastfeat.learn.fit import fit, fit_transform
from fastfeat.learn.labels import label_of
from fastfeat.learn.training_data import check_clocks
from fastfeat.plan.declare.bind import bind, check_new_plan
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.plan.lower import indicators
from fastfeat.progress import show_progress
from fastfeat.trust.quality.profiling import ProfileChoice, checked_choice
from fastfeat.trust.quality.table_profiles import kernels_of_profiles

DeclaredTypes = Mapping[str, DType | UnsupportedType]
N_ROWS = 600
"""The number of made-up rows. Each key occurs 200 times."""
_FORMS = {"gpu": ("arrow", "numpy", "cupy", "cupy_columns")}
"""The output forms with programs of their own, by backend. Other forms are converted from these."""
_MISSING = "none", "some", "coded"
"""Which values are missing in made-up rows; see `make_example_rows`."""
_N_OF_TABLE = 2  # rows of a lookup table: keys are unique, and a bool has two values
_OF_ONE_HOT = (
    "one_hot_encode has one column per category that fit learns, so the kernels of transform are "
    "compiled after fit. Before serving, call fitted.compile()"
)
_OF_SMALLEST = (
    "codes='smallest' has types that depend on the number of categories that fit learns: if they "
    "differ from those of made-up rows, the kernels of transform are compiled after fit. Before "
    "serving, call fitted.compile()"
)


@dataclass(frozen=True, slots=True, repr=False)
class Compiled:
    """A report on the kernels that `compile` put into the cache, for all processes of this machine.

    Args:
        n_compiled: The number of kernels that were compiled.
        n_loaded: The number of kernels that were in the cache already.
        n_not_kept: The number of these kernels that cannot be stored on disk, so that each process
            compiles them.
        seconds: The time that this took.
        kernels: The names of the kernels; "features" is the code that is generated for a plan.
        notes: Text about kernels that may still have to be compiled later, with the reasons.
    """

    n_compiled: int
    n_loaded: int
    n_not_kept: int
    seconds: float
    kernels: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """Return text: a line of counts, and one line per note."""
        not_kept = f", {self.n_not_kept} of them not stored on disk" if self.n_not_kept else ""
        told = (
            f"{counted(self.n_compiled, 'kernel')} compiled, {self.n_loaded} already in the cache"
            f"{not_kept}, in {self.seconds:.1f} s"
        )
        return "\n".join([told, *(f"note: {note}" for note in self.notes)])


def compile_plan(
    plan: Declaration, schema: Any, tables: Tables, backend: str, profile: ProfileChoice = False
) -> Compiled:
    """Compile the kernels of a plan's fit, and of its transform after that; see `Plan.compile`.

    Raises:
        FastfeatError: Any error of `Plan.compile`.
    """
    choice = checked_choice(profile)
    known, of_tables = read_schema(schema), resolve_schemas(tables)
    bound = bind(list(plan.nodes.values()), known, of_tables)
    check_new_plan(bound)
    check_clocks(plan, bound)
    read = {*plan.columns, *plan.label_columns, *plan.keep, *plan.known_late.columns}
    read |= set(id_column_names(plan.row_id, plan.history_columns))
    types = {name: dtype for name, dtype in known.items() if name in read}
    trial = _Trial(types, _of_tables(of_tables), backend, _distinct(plan))
    notes = [_OF_ONE_HOT] if any(map(indicators.is_one_hot, plan.nodes.values())) else []
    notes += [] if plan.codes is None else [_OF_SMALLEST]
    return _compiled(partial(_run_plan, plan, trial, choice), trial, notes)


def compile_fitted(fitted: Fitted, backend: str) -> Compiled:
    """Compile the kernels that compute the features of a fitted plan; see `FittedPlan.compile`."""
    plan = fitted.declaration
    schema = {name: UnsupportedType("any") for name in plan.keep} | dict(row_inputs(fitted))
    if plan.row_id is not None:
        schema = {plan.row_id: INT64} | schema
    guard, tables = guard_of(fitted), dict(fitted.tables)
    rules = () if guard is None else (guard.any_broken, guard.each_broken)
    for of in rules:
        tables |= {name: {**of.tables[name], **tables.get(name, {})} for name in of.tables}
    trial = _Trial(schema, _of_tables(tables), backend, _distinct(plan))
    if fitted.profile is not None:  # `drift` counts later rows with these kernels
        trial.of_profiles.update(kernels_of_profiles(fitted))

    def run() -> None:
        for one in (fitted, *rules):
            _run_fitted(one, trial)

    return _compiled(run, trial, [])


@dataclass(frozen=True, slots=True)
class _Trial:
    """Made-up rows to run a plan on, and a record of the calls that succeeded or failed on them.

    Args:
        schema: The types of the columns.
        tables: Rows of the lookup tables.
        backend: The name of the backend.
        distinct: The columns that get a different value in each made-up row: ids and times.
        succeeded: The names of the calls that ran at least once, such as "fit".
        failed: The name of each call that failed, with its last error.
        of_profiles: The cache folder and entry of each kernel that counts a profile of many rows.
    """

    schema: DeclaredTypes
    tables: Mapping[str, Any]
    backend: str
    distinct: frozenset[str]
    succeeded: set[str] = field(default_factory=set[str])
    failed: dict[str, FastfeatError] = field(default_factory=dict[str, FastfeatError])
    of_profiles: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def rows(self, missing: str) -> Any:
        """Return a table of made-up rows; `missing` is described in `make_example_rows`.

        Rows with missing values are out of time order, so that the kernels that sort run too.
        """
        rows = make_example_rows(self.schema, N_ROWS, missing=missing, distinct=self.distinct)
        return rows if missing == "none" else rows.take([0, 2, 1, *range(3, N_ROWS)])

    def given(self, rows: Any, history: Any = None) -> CallRows:
        """Return the arguments of a call of `fit` or `transform` on made-up rows.

        The arguments include the lookup tables.
        """
        return CallRows(rows, None, history, self.tables, self.backend)

    def run(self, what: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Return the result of a call, and note under the name `what` whether it succeeded.

        The result is None if the call raises because of the made-up values.
        """
        try:
            result = call(*args, **options)
        except Overflow:  # an integer that no matrix holds: found after the kernel has run
            self.succeeded.add(what)
            return None
        except FastfeatError as error:
            self.failed[what] = error
            return None
        self.succeeded.add(what)
        return result

    def forms(self, fitted: Fitted) -> tuple[str, ...]:
        """Return the forms of features (values of `to=`) to try.

        Features of text or times have no matrix.
        """
        try:
            _ = fitted.matrix_program
        except TypeMismatch:
            return ("arrow",)
        return _FORMS.get(self.backend, ("arrow", "numpy"))


def _distinct(plan: Declaration) -> frozenset[str]:
    """Return the columns that get a different value in each made-up row: ids and window times."""
    roots = [*plan.nodes.values(), *plan.label_nodes.values()]
    clocks = [order_of(node).args[0] for node in postorder(roots) if is_over(node)]
    return frozenset([*columns_of(clocks), *plan.row_ids])


def _of_tables(tables: Mapping[str, DeclaredTypes]) -> dict[str, Any]:
    return {name: make_example_rows(types, _N_OF_TABLE) for name, types in tables.items()}


def _run_plan(plan: Declaration, trial: _Trial, profile: ProfileChoice) -> None:
    """Fit a plan on made-up rows with and without missing values, and apply each fitted plan.

    If every fit fails, it is tried once more on columns that are missing throughout.
    """
    is_fitted = False
    for missing in (*_MISSING, "all"):
        if missing == "all" and is_fitted:
            return
        rows = trial.given(trial.rows(missing))
        fitted = trial.run("fit", fit, plan, rows)
        if fitted is None:
            continue
        if not is_fitted and profile:
            trial.of_profiles.update(kernels_of_profiles(fitted))
        is_fitted = True
        for to in trial.forms(fitted):
            trial.run("fit_transform", fit_transform, plan, rows, to=to)
        _run_fitted(fitted, trial)


def _run_fitted(fitted: Fitted, trial: _Trial) -> None:
    """Transform made-up rows by a fitted plan: tables in each output form, and single rows."""
    past, late, forms = (
        fitted.declaration.past_columns,
        set(fitted.declaration.late),
        trial.forms(fitted),
    )
    for rows in map(trial.rows, _MISSING):
        first = rows.slice(0, 1)
        to_come = rows.select([name for name in rows.column_names if name not in late])
        for to in forms:
            for data, history in (
                (rows, BATCH),
                *([(rows, first), (to_come, first)] if past else []),
            ):
                given = trial.given(data, history)
                trial.run(f"transform to {to!r}", transform, fitted, given, to=to)
        if trial.backend == "cpu":
            for to in forms:  # also if this form rejects the made-up values
                prepare(fitted, rows, to)
        if not past and "numpy" in forms and trial.backend == "cpu":
            for row in rows.slice(0, 5).to_pylist():  # the fifth has missing values
                trial.run("transform_row", transform_row, fitted, row, tables=trial.tables)
        if fitted.declaration.label_columns:
            trial.run("label", label_of, fitted, trial.given(rows, BATCH))


def _compiled(run: Callable[[], None], trial: _Trial, notes: list[str]) -> Compiled:
    """Call `run`, and return a record of the kernels that it asked for, now in the cache."""
    backend_named(trial.backend)
    from fastfeat.engine.cpu import compiled, kernels

    started = time.perf_counter()
    with observe_kernels() as used, warnings.catch_warnings(), show_progress("compiling a plan"):
        for kind in FastfeatWarning.__subclasses__():
            if kind is not KernelsNotKept:  # other warnings are about made-up rows
                warnings.simplefilter("ignore", kind)
        kernels.forget_kernels()
        compiled.forget_loops()
        if trial.backend != "reference":  # the reference compiles nothing, and is slow
            run()
        by_rows = kernels.by_rows([one.name for one in used.values()])
        kernels.make_ready([*by_rows, *sorted(trial.of_profiles)])
    if trial.backend in DEVICE_NAMES:
        notes.append("on a device, kernels for more rows or keys are compiled when they are needed")
    for what, error in trial.failed.items():
        if what not in trial.succeeded:
            notes.append(
                f"{what} could not run on made-up rows ({error}): its other kernels are compiled "
                "when it first runs"
            )
    return _record(used, time.perf_counter() - started, notes)


def _record(used: Mapping[str, UsedKernel], seconds: float, notes: list[str]) -> Compiled:
    n_compiled = sum(one.is_compiled for one in used.values())
    return Compiled(
        n_compiled,
        len(used) - n_compiled,
        sum(not one.is_kept for one in used.values()),
        seconds,
        tuple(sorted(one.name for one in used.values())),
        tuple(notes),
    )
