"""`Live`: fitted plans over a state of rows, which compute the features of rows as they arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, Self, cast, get_args

from fastfeat.calls.arguments import Hints, with_method_errors
from fastfeat.errors import (
    ContractBroken,
    FastfeatError,
    HistoryMissing,
    InvalidData,
    InvalidPlan,
    LateRow,
    StateError,
    TypeMismatch,
    UnknownColumn,
    did_you_mean,
    shortened,
    warn,
)
from fastfeat.execute.call_rows import CallRows
from fastfeat.execute.fitted import Face, Fitted
from fastfeat.execute.guard import as_rereadable, guard_of, judge, row_inputs
from fastfeat.execute.lookup_tables import Tables, read_tables, resolve_tables
from fastfeat.execute.row.one_row import transform_row
from fastfeat.execute.row.row_contract import judge_one_row
from fastfeat.io.arrow import Table, pa
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Column
from fastfeat.ir.show import show
from fastfeat.live.ask.prepared import PreparedAnswer
from fastfeat.live.ask.results import (
    ALONE,
    check_form,
    check_out,
    convert_results,
    restore_passed_columns,
    unwrap_row,
)
from fastfeat.live.file.state_file import check_beginning, path_of
from fastfeat.live.input_rows import (
    add_time_column,
    has_ids,
    late_columns,
    one_row,
    read_once,
    table_by_id,
    table_of_history,
    table_of_rows,
)
from fastfeat.live.lower.live_plan import lower
from fastfeat.live.lower.row_tables import (
    is_one_row,
    rows_table,
    time_columns,
    value_array,
)
from fastfeat.live.opening import begin_file, reopen_state, resolve_archive_settings
from fastfeat.live.parquet import export, read_export
from fastfeat.live.recent import Recent, seconds_of
from fastfeat.live.state.arrivals import ArrivalRequest
from fastfeat.live.state.changes import Base, Durability, LateRule, Settings, StateChange
from fastfeat.live.state.held_up import HeldUp
from fastfeat.live.state.lateness import BlockingRow
from fastfeat.live.state.order_clocks import ANY
from fastfeat.live.state.state import LiveState, Sizes
from fastfeat.live.state.stored_row_changes import REMOVED_LATEST
from fastfeat.live.state.table_updates import table_types
from fastfeat.plan.declare.source_columns import table_columns_of
from fastfeat.trust.quality.drift import Drift, compare_profiles
from fastfeat.trust.quality.later_rows import profile_to_compare
from fastfeat.trust.quality.row_drift import limits_of
from fastfeat.trust.quality.thresholds import ThresholdsSource

BrokenRuleCounts = dict[str, int]
"""A dict of rule name to the number of rows that break the rule."""

_HINTS: dict[str, Hints] = {
    "process": dict.fromkeys(("history", "tables"), "The state has its own: live.history()"),
    "features": dict.fromkeys(("history", "tables"), "The state has its own: live.history()"),
}
_ELSEWHERE = {
    **dict.fromkeys(
        ("transform", "transform_row", "transform_batches", "predict", "predict_one"),
        "live.process(rows) computes features and stores the rows; live.features(rows) stores "
        "nothing. Both accept one row as a dict",
    ),
    **dict.fromkeys(
        ("fit", "learn_one", "partial_fit"),
        "A live state does not learn: live.update(rows) stores rows, plan.fit(data) learns",
    ),
    **dict.fromkeys(
        ("save", "to_parquet"),
        "A state with a file saves each call: fitted.online(path=...). live.export(path) writes "
        "the rows of any state",
    ),
}
"""Method names that fitted plans and models have and `Live` lacks, to a hint for the error."""


@with_method_errors(lambda live: "live.", _HINTS)
class Live(Generic[Face]):
    """Fitted plans over a state of rows, made by `FittedPlan.online` and `ff.online`.

    The state is the history: a log of the rows that windows can still see, in order of arrival, and
    the lookup tables. `process` gives the same bits as `transform(events, history=state)`.

    Each call is applied whole or not at all. One call changes the state at a time. Any thread may
    read features meanwhile, and sees only whole calls. A forked process has its own copy of a state
    in memory, and may not use a state with a file.

    Example:
        >>> spent = col("x").sum(over=ff.window(24, time="t", by="card"))
        >>> live = ff.Plan({"spent": spent}).fit({"t": [0], "card": ["a"], "x": [1.0]}).online()
        >>> live.process({"t": 1, "card": "a", "x": 2.5})
        array([0.])
        >>> live.process({"t": 2, "card": "a", "x": 4.0})
        array([2.5])
    """

    def __init__(self, plans: Mapping[str, Face], state: LiveState) -> None:
        """Bind plans to a state; users call `FittedPlan.online` or `ff.online` instead.

        Args:
            plans: Plan name to the fitted plan that `Live.plans` returns.
            state: State that holds the rows.
        """
        self._faces = dict(plans)
        self._state = state
        lowered = state.lowered
        self._plans = lowered.plans
        keep = [name for one in self._plans.values() for name in one.declaration.keep]
        self._passed = list(dict.fromkeys(keep))
        self._times = time_columns(self._plans.values())
        self._sees_none = not lowered.orders
        self._recent: dict[str, Recent] = {}
        self._judged = {
            name: (
                one,
                guard,
                {column: of for column, of in row_inputs(one).items() if isinstance(of, DType)},
            )
            for name, one in self._plans.items()
            if (guard := guard_of(one)) is not None
        }
        rules = [rule_name(name, rule) for name, of in self._judged.items() for rule in of[1].rules]
        self._violations = dict.fromkeys(rules, 0)
        self._lock = Lock()

    if not TYPE_CHECKING:  # type checkers would take any attribute for granted

        def __getattr__(self, name: str) -> Any:
            """Raise `AttributeError`, with a hint if another method does the work of `name`."""
            hint = f". {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            raise AttributeError(f"a live state has no attribute {name!r}{hint}")

    @property
    def plans(self) -> Mapping[str, Face]:
        """The fitted plans, by name; the name is "" if `FittedPlan.online` made the state."""
        return self._faces

    @property
    def late(self) -> LateRule:
        """The rule for late rows: "error", "insert" or "drop".

        A row is late if it is earlier than the latest row of its entity.
        """
        return self._state.settings.late

    @property
    def max_ahead(self) -> str | None:
        """The time by which rows may be ahead of this machine's clock; None for no limit."""
        return self._state.settings.max_ahead

    @property
    def clocks(self) -> Mapping[str, DType]:
        """The data types of the times that windows use, by column name or expression text."""
        times = [(clock.order.time, clock.dtype) for clock in self._state.clocks]
        return {of.name if isinstance(of, Column) else show(of): dtype for of, dtype in times}

    def process(
        self,
        events: Any,
        *,
        to: str = "arrow",
        out: Any = None,
        categories: bool = False,
        source: str = "",
        first: int = 0,
        end: int = 0,
    ) -> Any:
        """Return the features of events as they arrive, and add the events to the state.

        Each event sees the rows of the state and the events before it in the same call.

        Args:
            events: Rows in order of arrival: one row as a dict of column name to value, or many
                rows in any form that `FittedPlan.transform` takes. Late columns (filled in later by
                `outcomes`) may be absent. Columns that no plan reads are ignored.
            to: Form of the result for many rows: "arrow" (a table), "pandas", "polars", "numpy" or
                "torch" (matrices of shape (n_rows, n_features)). See `FittedPlan.transform`.
            out: Array or tensor that takes the features of many rows, for "numpy" and "torch",
                shape (n_rows, n_features). It must not overlap the events. With several plans, a
                dict of plan name to array.
            categories: Whether ordinal encodings of many rows come as categories instead of codes.
            source: Name of the stream that the events come from, such as "events:0". The state then
                remembers how far it has read; see `offsets`.
            first: Offset of the first event in the source.
            end: Offset after the last event.

        Returns:
            For one row, a float array of shape (n_features,) in which NaN means missing. For many
            rows, their features in the form `to`. With several plans, a dict of plan name to these.

        Raises:
            UnknownColumn: A column is absent.
            TypeMismatch: A column does not have the type seen in fit, and cannot be converted
                exactly.
            LateRow: A row is earlier than the state accepts; see `late=` of `FittedPlan.online`.
            FutureRow: A time is further ahead than `max_ahead=` or `max_jump=` allows.
            InvalidData: A row has no id, or has the id of another row with different values.
            InvalidPlan: The form `to` is unknown, or an option for many rows is given with one row;
                or `first` or `end` is given without `source`.
            StateError: The offsets were applied already, or the state is closed.
            ContractBroken: A row breaks a rule of a plan's contract; no row is applied.
            Overflow: A result does not fit its type.

        Warns:
            RowsBreakRule: A row breaks a rule that only warns.

        Example:
            >>> fitted = ff.Plan({"n": ff.count(over=ff.window(24, time="t", by="card"))}).fit(
            ...     {"t": [0], "card": ["a"]}
            ... )
            >>> live = fitted.online({"t": [1, 2], "card": ["a", "b"]})
            >>> live.process({"t": 5, "card": "a"}), live.process({"t": 6, "card": "a"})
            (array([1.]), array([2.]))
        """
        if self._judged:
            events, broken = self._held(events)
            found = self._processed(events, to, out, categories, source, first, end)
            self._count(broken)
            return found
        return self._processed(events, to, out, categories, source, first, end)

    def _processed(
        self, events: Any, to: str, out: Any, categories: bool, source: str, first: int, end: int
    ) -> Any:
        is_plain = to == "arrow" and out is None and not categories
        offsets: tuple[object, ...] = (source, first, end)
        if is_plain and list(map(type, offsets)) == [str, int, int] and not any(offsets):
            prepared = self._process_prepared_row(events)
            if prepared is not None:
                return self._noted(events, prepared)
        if is_plain and not source and self._is_stateless_call(events):
            return self._noted(events, self._of_row(events))
        check_form(self._plans, to, out, categories=categories)
        row = one_row(self._state, events)
        _check_alone(row, to, out, categories=categories)
        given = events if row is not None else read_once(self._state, events, self._passed)
        rows = table_of_rows(self._state, given, self._passed)
        check_out(self._plans, rows, to, out)
        change = StateChange("process", rows, "", source, first, end, time.time_ns())
        _, results = self._state.apply(change, ArrivalRequest(to, row))
        if row is not None:
            return self._noted(row, unwrap_row(results))
        self._note(rows, results)
        return convert_results(
            self._plans,
            restore_passed_columns(self._plans, results, given),
            events,
            to,
            out,
            categories=categories,
        )

    def features(
        self,
        rows: Any,
        *,
        at: Any = None,
        to: str = "arrow",
        out: Any = None,
        categories: bool = False,
    ) -> Any:
        """Return the features that rows would have now, without adding them to the state.

        Args:
            rows: One row as a dict of column name to value, or many rows in any form that
                `FittedPlan.transform` takes. Rows of one call do not see each other. A row whose id
                is in the state sees only the rows before its place there.
            at: Time of all rows, if they lack the time column.
            to: Form of the result for many rows: "arrow" (a table), "pandas", "polars", "numpy" or
                "torch" (matrices of shape (n_rows, n_features)).
            out: Array or tensor that takes the features of many rows, for "numpy" and "torch",
                shape (n_rows, n_features). With several plans, a dict of plan name to array.
            categories: Whether ordinal encodings of many rows come as categories instead of codes.

        Returns:
            For one row, a float array of shape (n_features,) in which NaN means missing. For many
            rows, their features in the form `to`. With several plans, a dict of plan name to these.

        Raises:
            UnknownColumn: A column is absent.
            TypeMismatch: A column does not have the type seen in fit, and cannot be converted
                exactly.
            LateRow: A row is so early that its windows would see rows that the state has dropped.
            InvalidPlan: The form `to` is unknown, or an option for many rows is given with one row.
            InvalidData: The rows have all their times, and `at` is given.
            StateError: The state is closed.
            ContractBroken: A row breaks a rule of a plan's contract.

        Warns:
            RowsBreakRule: A row breaks a rule that only warns.

        Example:
            >>> fitted = ff.Plan({"n": ff.count(over=ff.window(24, time="t", by="card"))}).fit(
            ...     {"t": [0], "card": ["a"]}
            ... )
            >>> live = fitted.online({"t": [1, 2], "card": ["a", "b"]})
            >>> live.features({"t": 5, "card": "a"}), live.features({"t": 5, "card": "a"})
            (array([1.]), array([1.]))
        """
        if self._judged:
            rows, broken = self._held(rows if at is None else self._with_time(rows, at))
            found = self._asked(rows, None, to, out, categories)
            self._count(broken)
            return found
        return self._asked(rows, at, to, out, categories)

    def _asked(self, rows: Any, at: Any, to: str, out: Any, categories: bool) -> Any:
        is_plain = to == "arrow" and out is None and not categories
        if is_plain and at is None and self._is_row_alone(rows):
            return self._noted(rows, self._of_row(rows))
        check_form(self._plans, to, out, categories=categories)
        given = rows if at is None else self._with_time(rows, at)
        prepared = self._of_prepared_row(given) if is_plain else None
        if prepared is not None:
            return self._noted(given, prepared)
        row = one_row(self._state, given)
        _check_alone(row, to, out, categories=categories)
        given = given if row is not None else read_once(self._state, given, self._passed)
        are_known = has_ids(self._state, given)
        table = table_of_rows(self._state, given, self._passed, has_ids=are_known)
        check_out(self._plans, table, to, out)
        results = self._state.features(table, ArrivalRequest(to, row), has_ids=are_known)
        if row is not None:
            return self._noted(row, unwrap_row(results))
        self._note(table, results)
        return convert_results(
            self._plans,
            restore_passed_columns(self._plans, results, given),
            rows,
            to,
            out,
            categories=categories,
        )

    def answer_few(self, rows: Sequence[dict[str, Any]], *, keeps: bool) -> Sequence[Any] | None:
        """Return one float array of features per row; None if a row needs `features` or `process`.

        None means that nothing has changed: call `features` or `process` with a table of the rows,
        which raises the error if there is one. Servers use this method because building a table of
        a few rows costs more than computing their features.

        Args:
            rows: One dict of column name to value per row. Rows see each other only if `keeps` is
                true.
            keeps: Whether to add the rows to the state, all or none, as one change.
        """
        try:
            broken = [self._held(row)[1] for row in rows] if self._judged else ()
            found = self._answer_few(rows, keeps=keeps)
        except FastfeatError:
            return None
        if found is not None:
            for one in broken:
                self._count(one)
            for row, features in zip(rows, found, strict=True):
                self._noted(row, features)
        return found

    def _answer_few(self, rows: Sequence[dict[str, Any]], *, keeps: bool) -> list[Any] | None:
        if self._sees_none:
            if keeps and self._state.journal is not None:
                return None
            return [self._of_row(row) for row in rows]
        state = self._state
        answers = state.process_rows(rows) if keeps else state.features_of_rows(rows)
        return None if answers is None else [_given_of(answer) for answer in answers]

    def explain(self, row: Any, *, at: Any = None) -> Any:
        """Return a report of the rows and learnt values behind the features of a row.

        The report lists, for each feature, the rows of the state in its windows, the rows of lookup
        tables, and the values that fit has learnt. `report.recompute()` computes the features again
        from these rows alone. The state does not change.

        Args:
            row: One row, as a dict or in any form that `FittedPlan.transform` takes.
            at: Time of the row, if it lacks the time column.

        Returns:
            A report that prints as text and shows as a table in notebooks. With several plans, a
            dict of plan name to report.

        Raises:
            InvalidData: `row` does not hold exactly one row.
            LateRow: The row is so early that its windows would see rows that the state has dropped.
            StateError: The state is closed.
        """
        given = row if at is None else self._with_time(row, at)
        are_known = has_ids(self._state, given)
        table = table_of_rows(self._state, given, self._passed, has_ids=are_known)
        if table.num_rows != 1:
            raise InvalidData(
                f"live.explain: takes one row, got {table.num_rows:,}. Write live.explain(rows[0])"
            )
        reports = self._state.explain(table, has_ids=are_known)
        return reports.get(ALONE, reports)

    def update(self, events: Any, *, source: str = "", first: int = 0, end: int = 0) -> None:
        """Add events to the state without computing their features.

        Args:
            events: Rows in order of arrival: one row as a dict of column name to value, or many
                rows in any form that `FittedPlan.transform` takes. Columns that no window reads may
                be absent.
            source: Name of the stream that the events come from, such as "events:0"; see `offsets`.
            first: Offset of the first event in the source.
            end: Offset after the last event.

        Raises:
            UnknownColumn: A column is absent.
            TypeMismatch: A column does not have the type seen in fit, and cannot be converted
                exactly.
            LateRow: A row is earlier than the state accepts; see `late=` of `FittedPlan.online`.
            FutureRow: A time is further ahead than `max_ahead=` or `max_jump=` allows.
            InvalidData: A row has no id, or has the id of another row with different values.
            InvalidPlan: `first` or `end` is given without `source`.
            StateError: The offsets were applied already, or the state is closed.
            ContractBroken: A row breaks a rule of a plan's contract; no row is applied.

        Warns:
            RowsBreakRule: A row breaks a rule that only warns.

        Example:
            >>> fitted = ff.Plan({"n": ff.count(over=ff.window(24, time="t", by="card"))}).fit(
            ...     {"t": [0], "card": ["a"]}
            ... )
            >>> live = fitted.online({"t": [1, 2], "card": ["a", "b"]})
            >>> live.update({"t": 5, "card": "a"})
            >>> live.features({"t": 6, "card": "a"})
            array([2.])
        """
        broken: BrokenRuleCounts = {}
        if self._judged:
            events, broken = self._held(events)
        asked = self._state.lowered.asked
        rows = table_of_rows(self._state, events, if_there=asked)
        change = StateChange("update", rows, "", source, first, end, time.time_ns())
        self._state.apply(change)
        self._count(broken)

    def outcomes(self, rows: Any, *, source: str = "", first: int = 0, end: int = 0) -> None:
        """Fill in late columns of rows of the state, once their values are known.

        Args:
            rows: The id of each row, in the column that the plan names in `row_id=`, and late
                columns. A missing value leaves the row as it is.
            source: Name of the stream that the outcomes come from, such as "labels:0"; see
                `offsets`.
            first: Offset of the first outcome in the source.
            end: Offset after the last outcome.

        Raises:
            InvalidPlan: The plan names no `row_id=`.
            LateOutcome: The features of a row were already returned, and its window would have seen
                the outcome. With `late="insert"` the outcome is accepted and counted instead.
            InvalidData: No row of the state has the id, or a different value is already known.
            StateError: The offsets were applied already, or the state is closed.

        Example:
            >>> plan = ff.Plan(
            ...     {"mean": col("y").mean(over=ff.window(24, time="t", offset=2))},
            ...     label="y",
            ...     label_delay=2,
            ...     row_id="id",
            ... )
            >>> live = plan.fit({"id": [0], "t": [0], "y": [1.0]}, history="batch").online()
            >>> live.update({"id": 1, "t": 1})
            >>> live.outcomes({"id": [1], "y": [5.0]})
            >>> live.features({"id": 2, "t": 9})
            array([5.])
        """
        table = table_by_id(self._state, rows, late_columns(self._state))
        self._state.apply(StateChange("outcomes", table, "", source, first, end, time.time_ns()))

    def correct(self, rows: Any, *, source: str = "", first: int = 0, end: int = 0) -> None:
        """Change columns of rows of the state; features already returned do not change.

        Args:
            rows: The id of each row, in the column that the plan names in `row_id=`, and the
                columns that change.
            source: Name of the stream that the corrections come from; see `offsets`.
            first: Offset of the first correction in the source.
            end: Offset after the last correction.

        Raises:
            InvalidData: No row of the state has the id.
            InvalidPlan: The plan names no `row_id=`; or a window reads the results of another
                window, which the state stores and cannot correct.
            StateError: The offsets were applied already, or the state is closed.

        Example:
            >>> plan = ff.Plan({"sum": col("x").sum(over=ff.window(24, time="t"))}, row_id="id")
            >>> live = plan.fit({"id": [0], "t": [0], "x": [1]}, history="batch").online()
            >>> live.update({"id": 1, "t": 1, "x": 10})
            >>> live.correct({"id": [1], "x": [20]})
            >>> live.features({"id": 2, "t": 2, "x": 0})
            array([20.])
        """
        table = table_by_id(self._state, rows, self._state.types)
        self._state.apply(StateChange("correct", table, "", source, first, end, time.time_ns()))

    def remove(self, row_id: Any) -> None:
        """Take one row out of the state; features already returned do not change.

        Use it for a row that should never have come, such as a row with a time far ahead, which
        makes all rows of its entity late until that time. The row stays in the record of changes in
        the file, as it does after `correct`; `forget` erases it. If the row comes again, it is a
        new row.

        Args:
            row_id: Id of the row, in the column that the plan names in `row_id=`.

        Raises:
            InvalidPlan: The plan names no `row_id=`; or a window reads the results of another
                window that has seen the row.
            InvalidData: No row of the state has this id.
            TypeMismatch: The id does not have the type of the ids of the state.

        Warns:
            HistoryMissing: The row was the latest row of its entity. Rows that no window could see
                after it came may have been dropped, and features of earlier times lack them.

        Example:
            >>> spent = col("x").sum(over=ff.window(24, time="t", by="card"))
            >>> plan = ff.Plan({"spent": spent}, row_id="id")
            >>> live = plan.fit({"id": [0], "t": [0], "card": ["a"], "x": [1.0]}).online()
            >>> live.update({"id": 1, "t": 1, "card": "a", "x": 2.0})
            >>> live.update({"id": 2, "t": 5, "card": "a", "x": 40.0})
            >>> live.remove(1)
            >>> live.features({"t": 6, "card": "a", "x": 0.0})
            array([40.])
        """
        name = self._state.lowered.row_id
        if name is None:
            raise InvalidPlan(
                "remove: finds the row by id, but no plan names the id column. Name it: Plan(..., "
                "row_id='id'); or erase all rows with a value: live.forget(column, value)"
            )
        dtype = self._state.types.get(name)
        value = pa.array([row_id]) if dtype is None else value_array(row_id, name, dtype)
        change = StateChange("remove", pa.table({name: value}), name, time_ns=time.time_ns())
        applied, _ = self._state.apply(change)
        if applied.counts.get(REMOVED_LATEST):
            warn(
                f"{name} = {row_id!r} was the latest row of its entity, and older rows may have "
                "been dropped when it came. Features of rows before that row may now miss these "
                "older rows. Keep rows longer: online(keep=...)",
                HistoryMissing,
            )

    def forget(self, column: str, value: Any) -> int:
        """Erase every row with a value in a column, as if those rows had never come.

        Args:
            column: A column that windows read, such as the key of an entity.
            value: The value, as rows have it; None erases the rows in which it is missing.

        Returns:
            The number of rows that were erased.

        Raises:
            UnknownColumn: The state has no such column.
            TypeMismatch: The column holds lists.
            InvalidPlan: The state stores window results of rows that stay, and they have seen the
                erased rows.

        Example:
            >>> fitted = ff.Plan({"n": ff.count(over=ff.window(24, time="t", by="card"))}).fit(
            ...     {"t": [0], "card": ["a"]}
            ... )
            >>> live = fitted.online({"t": [1, 2], "card": ["a", "b"]})
            >>> live.forget("card", "a")
            1
            >>> live.features({"t": 5, "card": "a"})
            array([0.])
        """
        types = self._state.types
        if column not in types:
            raise UnknownColumn(
                f"the state has no column {column!r}. It has the columns that windows read: "
                f"{shortened(types)}.{did_you_mean(str(column), types)}"
            )
        if types[column].is_list:
            raise TypeMismatch(
                f"forget: takes a column with one value per row, but {column!r} is "
                f"{types[column]}. Name another column, such as the key of an entity"
            )
        rows = pa.table({column: value_array(value, column, types[column])})
        applied, _ = self._state.apply(StateChange("forget", rows, column, time_ns=time.time_ns()))
        return applied.counts["forgotten"]

    def update_table(
        self, name: str, rows: Any, *, source: str = "", first: int = 0, end: int = 0
    ) -> None:
        """Add rows to a lookup table, or replace its rows.

        Args:
            name: Name of the table.
            rows: The columns of the table that plans read. If plans look the table up by key, each
                row replaces the row with its key; of several rows with one key, the last counts. If
                windows or `ff.asof` see the table, the rows are appended.
            source: Name of the stream that the rows come from, such as "prices:0"; see `offsets`.
            first: Offset of the first row in the source.
            end: Offset after the last row.

        Raises:
            UnknownColumn: No plan reads such a table, or a column is absent.
            TypeMismatch: A column does not have the type seen in fit, and cannot be converted
                exactly.
            StateError: The offsets were applied already, or the state is closed.

        Example:
            >>> price = ff.lookup("prices", by="item").col("price")
            >>> table = {"prices": {"item": ["a"], "price": [2.0]}}
            >>> fitted = ff.Plan({"price": price}).fit({"item": ["a"]}, tables=table)
            >>> live = fitted.online(tables=table)
            >>> live.update_table("prices", {"item": ["a"], "price": [3.0]})
            >>> live.features({"item": "a"})
            array([3.])
        """
        types = table_types(self._state.lowered.plans)
        if name not in types:
            known = f"The plans read {shortened(types)}" if types else "The plans read no tables"
            raise UnknownColumn(f"no plan reads a table {name!r}. {known}")
        table = rows_table(rows, types[name])
        self._state.apply(StateChange("table", table, name, source, first, end, time.time_ns()))

    def history(self) -> Table | None:
        """Return the rows of the state in order of arrival; None if it has none.

        The table is a history for `transform`: `transform(events, history=live.history())` gives
        the same bits as `process(events)`.

        Example:
            >>> fitted = ff.Plan({"n": ff.count(over=ff.window(24, time="t", by="card"))}).fit(
            ...     {"t": [0], "card": ["a"]}
            ... )
            >>> live = fitted.online({"t": [1, 2], "card": ["a", "b"]})
            >>> live.history().to_pydict()
            {'t': [1, 2], 'card': ['a', 'b']}
        """
        return self._state.history()

    @property
    def tables(self) -> Mapping[str, Table]:
        """The lookup tables, by name."""
        return dict(self._state.tables)

    @property
    def counts(self) -> Mapping[str, int]:
        """Numbers of rows since the state was opened, by what happened to them.

        The keys are "late", "dropped", "repeated", "outcomes", "late_outcomes", "corrected",
        "removed", "removed_latest" (the latest row of its entity), "forgotten" and "swept" (dropped
        because no row of the entity came for long). A key is absent until there is such a row.
        """
        return dict(self._state.counts)

    @property
    def violations(self) -> Mapping[str, int]:
        """Numbers of rows since the state was opened that break rules of contracts, by rule name.

        They count accepted rows that break rules which only warn, and the rows that were passed to
        `count_refused`. With several plans, the plan name comes first: "fraud.size".
        """
        with self._lock:
            return dict(self._violations)

    def count_refused(self, error: ContractBroken) -> None:
        """Add the rows of a refused call to `violations`.

        `process` and the other methods do not count refused rows themselves, because the caller may
        try again without them.

        Args:
            error: The error that the call raised.
        """
        self._count({rule_name(error.plan, name): n for name, n in error.broken.items()})

    def count_late(self, error: LateRow) -> None:
        """Count a row that was refused because it was late; see `held_up`.

        `process` and the other methods do not count refused rows themselves, because the caller may
        try again without them.

        Args:
            error: The error that the call raised.
        """
        if isinstance(error.behind, BlockingRow):
            self._state.late_counts.note([error.behind])

    def held_up(self, *, is_due: bool = False, places: bool = True) -> list[HeldUp]:
        """Return the entities with ten or more late rows, all late because of one and the same row.

        A row with a time that is ahead makes all later rows of its entity late. This counts rows
        that `late="drop"` left out, and rows that were passed to `count_late`. At most 20 entities
        are returned, with the most late rows first; the last one says how many more there are.

        Args:
            is_due: Whether to return an entity only when it has passed 10 late rows, 100, and so
                on, since the last such call.
            places: Whether to search the file for the source and offset of the row that holds the
                entity up (`HeldUp.place`). That takes a while.
        """
        return self._state.held_up(is_due=is_due, places=places)

    @property
    def sizes(self) -> Sizes:
        """The numbers of rows and entities in memory."""
        return self._state.sizes

    def watch(
        self, window: str | timedelta = "1h", *, plans: Collection[str] | None = None
    ) -> None:
        """Count the rows that are answered from now on, for `drift` and `profile`.

        Rows of `process` and `features` are counted by the time of their arrival, some thousands at
        a time. The counts are in memory only, and are lost when the state is closed.

        Args:
            window: How long a row counts, such as "1h". The window moves in steps of a twelfth of
                its length.
            plans: Names of the plans to watch; None for all.

        Raises:
            InvalidPlan: A plan has no profile of its training rows; or the window is no duration of
                a second or more.
            TypeMismatch: The window is no duration.

        Example:
            >>> rows = {"x": [k / 100 for k in range(1_000)]}
            >>> fitted = ff.Plan({"x": col("x") * 2}).fit(rows, profile=True)
            >>> live = fitted.online()
            >>> live.watch("10m")
            >>> for k in range(500):
            ...     x = live.process({"x": k / 50 + 4.0})
            >>> live.drift().drifted
            ['x']
        """
        seconds = seconds_of(window)
        self._recent = {
            name: Recent(fitted, profile_to_compare(fitted), seconds)
            for name, fitted in self._plans.items()
            if plans is None or name in plans
        }

    def profile(self) -> Any:
        """Return the profile of the rows answered in the window of `watch`; see `Profile`.

        Profiles from several processes that serve one plan can be merged. With several plans,
        returns a dict of plan name to profile.

        Raises:
            InvalidPlan: `watch` was not called.
        """
        found = {name: recent.profile() for name, recent in self._watched().items()}
        return found.get(ALONE, found)

    def drift(self, *, reference: Any = None, thresholds: ThresholdsSource = None) -> Any:
        """Return the drift of the rows answered in the window of `watch` from the training rows.

        Args:
            reference: Profile to compare with instead of the profile of the training rows. With
                several plans, a dict of plan name to profile.
            thresholds: Limits by name, such as `{"psi": 0.2, "missing": 0.01}`, or the path of a
                TOML file with a section `[drift]`. See `FittedPlan.drift`.

        Returns:
            A `Drift`; with several plans, a dict of plan name to `Drift`.

        Raises:
            InvalidPlan: `watch` was not called.
            InvalidConfig: A threshold is unknown, has a value of the wrong kind, or names no
                column.
        """
        limits, found = limits_of(thresholds), dict[str, Drift]()
        for name, recent in self._watched().items():
            then = reference if reference is None or ALONE in self._plans else reference.get(name)
            found[name] = compare_profiles(
                self._plans[name],
                recent.profile(),
                profile_to_compare(self._plans[name]) if then is None else then,
                limits=limits,
                is_same_season=then is not None,
            )
        return found.get(ALONE, found)

    @property
    def offsets(self) -> Mapping[str, int]:
        """A dict of source name to the offset after the last row that was applied."""
        return dict(self._state.offsets)

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the rows of the state to a Parquet file, for `online(history=path)`.

        The new state gives the same features if it has the same lookup tables: pass
        `tables=live.tables`. The file includes the stored results of windows that other windows
        read; a different version of the plan computes them anew.

        Args:
            path: Path of the file, which ends in .parquet. An existing file is replaced.

        Raises:
            InvalidData: The path does not end in .parquet.
            StateError: The file cannot be written, or no row has come yet.
            TypeMismatch: `path` is no path.
        """
        export(self._state, path)

    @property
    def head(self) -> bytes:
        """The hash of the last change in the audit chain; note it elsewhere for `ff.replay(head=)`.

        Each change's hash covers the one before it, so this one stands for all changes so far.
        Empty if the state has no file, or if the key of the audit was deleted.
        """
        return self._state.head

    def checkpoint(self) -> None:
        """Wait until all changes are on disk."""
        self._state.flush()

    def compact(self) -> None:
        """Replace the changes in the file by one copy of the whole state.

        A state does this by itself when the changes take more room than the state. `ff.replay` then
        begins from that copy. If nothing changed since the last copy, nothing is written.

        Raises:
            StateError: The state is closed, or cannot be written.
        """
        self._state.compact()

    def delete_audit_key(self) -> None:
        """Delete the key of the audit, so that its digests reveal nothing about any row.

        This ends the audit, and drops the record of changes: the file then holds one copy of the
        whole state.

        Raises:
            StateError: The state is closed, or cannot be written.
        """
        self._state.delete_audit_key()

    def close(self) -> None:
        """Write all changes to disk, and close the state; a state in memory is lost."""
        self._state.close()

    def discard(self) -> None:
        """Close without writing the changes since the last checkpoint.

        This is for callers that passed on no result since that checkpoint, or will compute the
        results again.
        """
        self._state.close(discards=True)

    def __enter__(self) -> Self:
        """Return this object; leaving the block closes it."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close the state."""
        self.close()

    def __repr__(self) -> str:
        """Return the names of the plans and the number of rows, as text."""
        names = ", ".join(name or "one plan" for name in self._plans)
        return f"Live({names}: {self._state.n_rows:,} rows)"

    def _with_time(self, given: Any, at: Any) -> Any:
        judged = [name for _, _, types in self._judged.values() for name in types]
        return add_time_column(self._state, given, at, self._times, [*self._passed, *judged])

    def _held(self, given: Any) -> tuple[Any, BrokenRuleCounts]:
        """Return rows that passed the contract check, and numbers of rows that break warning rules.

        The numbers are by rule name. Raises `ContractBroken` for a rule that does more than warn.
        An Arrow reader is returned as a table, since it can be read only once.
        """
        given = as_rereadable(given)
        tables = self._state.tables
        broken: BrokenRuleCounts = {}
        for name, (fitted, guard, types) in self._judged.items():
            try:
                if is_one_row(given, types):
                    found = judge_one_row(fitted, given, tables)
                else:
                    found = judge(guard, CallRows(given, tables=tables))
            except ContractBroken as error:
                error.plan = name
                raise
            broken |= {rule_name(name, rule): n for rule, n in found.items()}
        return given, broken

    def _count(self, broken: BrokenRuleCounts) -> None:
        if broken:
            with self._lock:
                for name, n in broken.items():
                    self._violations[name] += n

    @property
    def recent(self) -> Mapping[str, Recent]:
        """A dict of plan name to the counts of recently answered rows; empty without `watch`."""
        return self._recent

    @property
    def records(self) -> Mapping[str, Fitted]:
        """The internal records (`Fitted`) of the plans, by name."""
        return self._plans

    def _watched(self) -> Mapping[str, Recent]:
        """Return the counts of recent rows of each plan; raise `InvalidPlan` without `watch`."""
        if not self._recent:
            raise InvalidPlan(
                "this state does not count the rows that it answers. Call live.watch('1h') first: "
                "it counts the rows that come after the call"
            )
        return self._recent

    def _noted(self, row: Mapping[str, Any], features: Any) -> Any:
        """Count one answered row for `watch`, and return its features unchanged."""
        if self._recent:
            by_name = {ALONE: features} if ALONE in self._plans else features
            for name, recent in self._recent.items():
                recent.note(row, by_name[name])
        return features

    def _note(self, rows: Table, results: Mapping[str, Any]) -> None:
        """Count many answered rows for `watch`."""
        for name, recent in self._recent.items():
            recent.note(rows, results[name])

    def _is_row_alone(self, given: Any) -> bool:
        """Return whether the user passed one row as a dict, and no plan has windows."""
        return self._sees_none and is_one_row(given, self._state.lowered.asked)

    def _is_stateless_call(self, given: Any) -> bool:
        """Return whether one row was passed, no plan has windows, and no file records changes."""
        return self._state.journal is None and self._is_row_alone(given)

    def _of_prepared_row(self, row: Any) -> Any:
        """Return the features of one row by the fast path, without storing the row.

        None if the row needs the general path: it is unusual, or its id is in the state.
        """
        if type(row) is not dict:
            return None
        found = self._state.features_of_rows([cast("dict[str, Any]", row)])
        return None if found is None else _given_of(found[0])

    def _process_prepared_row(self, row: Any) -> Any:
        """Return the features of one row by the fast path, and add the row to the state.

        None, and nothing has changed, if the row needs the general path.
        """
        if type(row) is not dict:
            return None
        found = self._state.process_rows([cast("dict[str, Any]", row)])
        return None if found is None else _given_of(found[0])

    def _of_row(self, row: Mapping[str, Any]) -> Any:
        """Return the features of a row for plans without windows, as cheaply as `transform_row`."""
        self._state.check_usable()
        tables = self._state.tables
        if ALONE in self._plans:
            return transform_row(self._plans[ALONE], row, tables=tables)
        return {name: transform_row(f, row, tables=tables) for name, f in self._plans.items()}


def _given_of(answer: PreparedAnswer) -> Any:
    """Return the features of one row: an array, or with several plans a dict by plan name."""
    return answer.features.get(ALONE, answer.features)


def rule_name(plan: str, rule: str) -> str:
    """Return the name under which `Live.violations` counts a rule of a plan.

    Example:
        >>> rule_name("fraud", "size"), rule_name("", "size")
        ('fraud.size', 'size')
    """
    return f"{plan}.{rule}" if plan else rule


def _check_alone(row: object, to: str, out: Any, *, categories: bool) -> None:
    """Raise `InvalidPlan` if the user passed one row, with an option that only many rows may have.

    `row` is None for many rows.
    """
    if row is None or (to in ("arrow", "numpy") and out is None and not categories):
        return
    option = "out=" if out is not None else f"to={to!r}" if not categories else "categories="
    raise InvalidPlan(
        f"{option} needs a list of rows: one row as a dict always gives an array of its features. "
        "Pass [row]"
    )


def begin_live(
    plans: Mapping[str, Fitted],
    faces: Mapping[str, Face],
    history: Any = None,
    *,
    path: str | os.PathLike[str] | None = None,
    tables: Tables = None,
    late: LateRule | None = None,
    keep: str | int | None = None,
    max_ahead: str | None = None,
    max_jump: str | int | None = None,
    durability: Durability | None = None,
    archive: str | os.PathLike[str] | None = None,
    keep_audit: str | None = None,
) -> Live[Face]:
    """Return fitted plans over a new state, or over the state in the file `path`.

    The options are those of `FittedPlan.online`. `plans` has the internal record of each plan,
    `faces` the object that `Live.plans` returns for it.
    """
    _check_word("late", late, get_args(LateRule))
    _check_word("durability", durability, get_args(Durability))
    if path is None and durability is not None:
        raise InvalidPlan(
            f"durability={durability!r}: sets when changes are written to disk, but this state is "
            "only in memory. Give it a file with path=, or leave durability= out"
        )
    archiving = resolve_archive_settings(archive, keep_audit)
    if path is None and archiving is not None:
        raise InvalidPlan(
            "archive= and keep_audit= keep changes of a state file, but this state is only in "
            "memory. Give it a file with path=, or leave them out"
        )
    lowered = lower(plans)
    _check_tables_of_rules(plans)
    if path is not None and path_of(path).exists():
        check_beginning(path_of(path), writes=False)
        if history is not None or tables is not None:
            raise StateError(
                f"{path} exists already, but history= and tables= are only for a new state. Leave "
                "them out to continue with this state, or give the path of a new file"
            )
        said = {"late": late, "keep": keep, "max_ahead": max_ahead}
        given = {name: value for name, value in said.items() if value is not None}
        state = reopen_state(
            path, lowered, given, durability or "commit", time.time_ns(), archiving
        )
        try:
            return _live(faces, state, max_jump)
        except BaseException:
            state.close(discards=True)
            raise
    is_any = isinstance(max_ahead, str) and max_ahead == ANY
    settings = Settings(late or "error", keep, None if is_any else max_ahead)
    named, types = resolve_tables(tables), table_types(lowered.plans)
    read = [column for fitted in plans.values() for column in fitted.table_columns]
    given = read_tables(named, [column for column in read if column.table in named])
    known = {name: rows_table(table, types[name]) for name, table in given.items()}
    base = read_export(history, lowered, settings, known)
    state = LiveState(lowered, settings, base or Base(None, known))
    live = _live(faces, state, max_jump)
    if history is not None and base is None:
        state.begin(table_of_history(state, history))
    if path is not None:
        begin_file(state, path, durability or "commit", archiving)
    return live


def _live(faces: Mapping[str, Face], state: LiveState, max_jump: str | int | None) -> Live[Face]:
    if max_jump is not None:
        state.limit_jumps(max_jump)
    return Live(faces, state)


def begin_alone(fitted: Fitted, history: Any, **options: Any) -> Live[Fitted]:
    """Return one plan over a new state; the options are those of `FittedPlan.online`."""
    plans = {ALONE: fitted}
    return begin_live(plans, plans, history, **options)


def _check_tables_of_rules(plans: Mapping[str, Fitted]) -> None:
    """Raise `InvalidPlan` if a contract's rule reads a table column that no feature reads.

    The state holds only the table columns that features read.
    """
    held = {column for fitted in plans.values() for column in fitted.table_columns}
    for fitted in plans.values():
        guard = guard_of(fitted)
        if guard is None:
            continue
        for name, rule in guard.rules.items():
            for column in table_columns_of([rule.expression.node]):
                if column not in held:
                    raise InvalidPlan(
                        f"the rule {name!r} reads {column.name!r} of the table {column.table!r}. "
                        "No feature reads this column, so a live state does not have it. Add it as "
                        "a feature, or leave the rule out of the contract"
                    )


def _check_word(option: str, given: object, words: Sequence[str]) -> None:
    if given is not None and given not in words:
        hint = did_you_mean(str(given), words)
        known = ", ".join(map(repr, words))
        raise InvalidPlan(f"{option} must be one of {known}, got {given!r}.{hint}")
