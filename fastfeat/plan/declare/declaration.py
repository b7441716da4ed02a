"""`Declaration`: the frozen declaration of a plan, and properties that follow from it alone.

A plan is declared, bound to types, fitted, and run; each of these steps reads the declaration.
`Plan` is the public class around it, with the methods that users call. A late column is known only
after the moment of its row, such as the label. A label looks ahead if it is computed from later
rows. An encoder is a target encoding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property

from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import is_target
from fastfeat.calls import checks
from fastfeat.errors import InvalidPlan, Leakage, did_you_mean
from fastfeat.expr import Expr
from fastfeat.ir.node import Column, Node, TableColumn, postorder
from fastfeat.ir.scope import is_over_ahead
from fastfeat.operators.durations import Duration
from fastfeat.plan.declare import leakage, rows_ahead
from fastfeat.plan.declare.arguments import (
    UserFeatures,
    check_row_id,
    check_text,
    float_name,
    named_features,
    resolve_known_tables,
    resolve_label,
    resolve_label_delay,
    resolve_names,
    resolve_outcomes,
)
from fastfeat.plan.declare.late_columns import (
    GivenDelay,
    LateColumns,
    add_label_column,
    check_features,
    resolve_late_columns,
    windows_ahead,
    without_targets,
)
from fastfeat.plan.declare.source_columns import (
    columns_of,
    own_columns,
    past_columns,
    table_columns_of,
)

UserLabel = str | Mapping[str, Expr] | None
UserDelay = Duration | Mapping[str, Duration] | None


@dataclass(frozen=True, slots=True)
class RecordedCalls:
    """A record of calls, which earlier versions wrote into plans; it is kept and not used.

    It is part of the plan's text, so of the digest by which states and audits know the plan.

    Args:
        text: The record as JSON.
        nodes: Nodes of the document that no feature or label reads.
    """

    text: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Declaration:
    """The features, label and options of a plan; `declare` makes one from a user's arguments.

    Args:
        features: Expressions by name.
        label: The target: the name of a column, or an expression by name.
        outcomes: Further late columns.
        dtype: Float type of the features.
        keep: Columns that are passed through.
        label_delay: How long after a row its late columns are known.
        known: Columns of the label that are known in time.
        known_tables: Columns of tables that are known in time.
        known_clocks: Time columns by which rows are known in time.
        row_id: The column that identifies rows.
        codes: "smallest" stores codes in the smallest type that fits; None stores int32.
        recorded: A record that an earlier version wrote.
        label_column: The column in which the label is supplied; see `external_label`.
        fold_id: The column that default folds are computed from, `row_id`; None folds by the number
            of a row.
    """

    features: Mapping[str, Expr]
    label: UserLabel = None
    outcomes: Sequence[str] | Mapping[str, GivenDelay] = ()
    dtype: str | None = None
    keep: Sequence[str] = ()
    label_delay: GivenDelay = None
    known: Sequence[str] = ()
    known_tables: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    known_clocks: Sequence[str] = ()
    row_id: str | None = None
    recorded: RecordedCalls | None = None
    label_column: str | None = None
    codes: str | None = None
    fold_id: str | None = None

    @cached_property
    def known_late(self) -> LateColumns:
        """The columns that are known too late, and their delays after the row."""
        late = resolve_late_columns(
            self.label_nodes,
            self.outcomes,
            self.label_delay,
            self.known,
            self.known_tables,
            self.known_clocks,
        )
        return add_label_column(late, self.label_column)

    @cached_property
    def written(self) -> dict[str, Node]:
        """The expression of each output column as the user wrote it, in order."""
        written: dict[str, Node] = {}
        for feature, expression in self.features.items():
            for suffix, node in zip(expression.suffixes, expression.nodes, strict=True):
                name = feature + suffix
                if name in written:
                    raise InvalidPlan(f"two features give the column {name!r}. Rename one of them")
                written[name] = node
        return written

    @cached_property
    def nodes(self) -> dict[str, Node]:
        """The expression of each output column, in order, as fit and transform compute it.

        In targets of encoders, the label's name is replaced by its expression or by `label_column`;
        default folds use `fold_id`.
        """
        written = self.written
        if not self.known_late.columns:
            return written
        of_label = leakage.with_label(list(written.values()), self.label_nodes, self.known_late)
        targets = leakage.learn_from_column(of_label, self.label_nodes, self.label_column)
        return dict(zip(written, leakage.fold_by_id(targets, self.fold_id), strict=True))

    @property
    def label_nodes(self) -> dict[str, Node]:
        """The expression of the label, by name; empty without a label."""
        if self.label is None:
            return {}
        if isinstance(self.label, str):
            return {self.label: Column(self.label)}
        return {name: expression.node for name, expression in self.label.items()}

    @property
    def late(self) -> list[str]:
        """The columns known only after the moment of prediction: of the label, and outcomes."""
        given = [] if self.label_column is None else [self.label_column]
        of_label = [*columns_of(self.label_nodes.values()), *given]
        own = [name for name in of_label if name in self.known_late.of_label]
        return list(dict.fromkeys([*own, *self.outcomes]))

    @cached_property
    def columns(self) -> list[str]:
        """The data columns that the features read, also those that only fit reads."""
        return columns_of(self.nodes.values())

    @cached_property
    def table_columns(self) -> tuple[TableColumn, ...]:
        """The columns of lookup tables that the features read."""
        return table_columns_of(self.nodes.values())

    @cached_property
    def row_table_columns(self) -> tuple[TableColumn, ...]:
        """The lookup table columns that `transform` reads: all except in targets of encoders."""
        nodes = without_targets(self.nodes.values())
        return tuple(node for node in nodes if isinstance(node, TableColumn))

    @cached_property
    def row_columns(self) -> list[str]:
        """The data columns that features read in `transform`, without late columns.

        If there are none, one column that only fit reads and that is not late: it tells the number
        of rows.
        """
        known = [name for name in self.columns if name not in self.late]
        read = [*own_columns(self.nodes.values()), *self.past_columns]
        return [name for name in dict.fromkeys(read) if name not in self.late] or known[:1]

    @cached_property
    def past_columns(self) -> list[str]:
        """The columns that windows of features read from earlier rows, including late columns."""
        return past_columns(self.nodes.values())

    @cached_property
    def training_past_columns(self) -> list[str]:
        """The columns that windows read from earlier rows in fit, also inside statistics."""
        return past_columns(self.nodes.values(), training=True)

    @property
    def history_columns(self) -> list[str]:
        """The columns that fit reads from a history, for windows and for a label ahead."""
        of_label = past_columns(self.label_nodes.values()) if self.looks_ahead else []
        return list(dict.fromkeys([*self.training_past_columns, *of_label]))

    @property
    def looks_ahead(self) -> bool:
        """Whether the label is computed from later rows, so that some rows may have no label."""
        return len(windows_ahead(self.label_nodes.values())) > 0

    @property
    def label_columns(self) -> list[str]:
        """The columns that the label's expression reads; empty if the label is itself a column."""
        return [] if isinstance(self.label, str) else columns_of(self.label_nodes.values())

    @property
    def label_sources(self) -> list[str]:
        """The label's column, or the columns that its expression reads; empty without a label."""
        return [self.label] if isinstance(self.label, str) else self.label_columns

    @property
    def row_ids(self) -> list[str]:
        """The column that identifies rows, `row_id`, as a list; empty if it is None."""
        return [] if self.row_id is None else [self.row_id]

    @property
    def label_table_columns(self) -> tuple[TableColumn, ...]:
        """The columns of tables that a label is computed from."""
        return table_columns_of(self.label_nodes.values())

    @cached_property
    def label_plan(self) -> Declaration:
        """A plan with the label's expression as its only feature; it may look ahead.

        No checks are run on this plan, because they refuse features that look ahead.
        """
        assert isinstance(self.label, Mapping)
        return Declaration(dict(self.label), row_id=self.row_id)


def declare(
    features: UserFeatures,
    *,
    label: UserLabel = None,
    outcomes: Sequence[str] | Mapping[str, UserDelay] = (),
    dtype: str | None = None,
    keep: Sequence[str] = (),
    label_delay: UserDelay = None,
    known: Sequence[str] = (),
    known_tables: Mapping[str, Sequence[str]] | None = None,
    known_clocks: Sequence[str] = (),
    row_id: str | None = None,
    codes: str | None = None,
) -> Declaration:
    """Return the checked declaration for a user's arguments, which `Plan` documents."""
    named = named_features(features)
    if label is not None and not isinstance(label, str):
        label = resolve_label(label)
    late = resolve_outcomes(outcomes)
    float_type, kept = float_name(dtype), resolve_names(keep, "keep")
    has_late = label is not None or len(late) > 0
    declared = Declaration(
        named,
        label,
        late,
        float_type,
        kept,
        resolve_label_delay(label_delay, has_late=has_late),
        resolve_names(known, "known"),
        resolve_known_tables({} if known_tables is None else known_tables),
        resolve_names(known_clocks, "known_clocks"),
        row_id,
        codes=codes if codes is None else checks.choice("ff.Plan", "codes", codes, ("smallest",)),
        fold_id=row_id,
    )
    check_row_id(row_id, declared.late)
    _check_names(declared)
    check_text([*declared.nodes, *kept, *late, *declared.row_ids], _every_node(declared))
    _check_tables(declared)
    _check_known_clocks(declared)
    check_features(declared.nodes, list(declared.label_nodes.values()))
    if _may_leak(declared):
        leakage.check_leakage(declared.nodes, declared.known_late)
    return declared


def _may_leak(declared: Declaration) -> bool:
    """Whether a feature can see a late column, or could if it were declared."""
    nodes = postorder(list(declared.nodes.values()))
    late = declared.known_late
    return bool(late.columns) or any(is_target(node) or is_over_ahead(node) for node in nodes)


def _check_names(declared: Declaration) -> None:
    if not declared.nodes:
        raise InvalidPlan("a plan needs at least one feature: Plan({'name': col('x')})")
    taken: set[str] = set(declared.nodes)
    for name in declared.keep:
        if name in taken:
            raise InvalidPlan(f"keep={name!r} has the name of another output. Rename the feature")
        taken.add(name)
    labels = [declared.label] if isinstance(declared.label, str) else list(declared.label or ())
    for name in labels:
        if name in taken:
            raise InvalidPlan(
                f"{name!r} is the label, which is never in the output: fitted.label(data) "
                f"gives it. Leave it out of {'keep=' if name in declared.keep else 'the features'}"
                ", or rename one of the two"
            )
    for name in declared.keep:
        if name in declared.late:
            raise Leakage(
                f"keep={name!r} is known only after the moment of prediction, so it cannot be an "
                "output. Read it from the data; for the label, use fitted.label(data)"
            )


def _check_tables(declared: Declaration) -> None:
    read = {column.table for column in declared.table_columns}
    for table in declared.known_tables:
        if table not in read:
            raise InvalidPlan(
                f"known_tables={{{table!r}: ...}}: no feature reads a table with that name."
                f"{did_you_mean(table, read)}"
            )


def _check_known_clocks(declared: Declaration) -> None:
    if not declared.known_clocks:
        return
    clocks = rows_ahead.window_time_columns(declared.nodes.values())
    for name in declared.known_clocks:
        if name not in clocks:
            raise InvalidPlan(
                f"known_clocks=[{name!r}]: no window, as-of join or time= of a feature reads a "
                "time column with that name."
                f"{did_you_mean(name, clocks) or ' Leave it out'}"
            )


def _every_node(declared: Declaration) -> list[Node]:
    return postorder([*declared.nodes.values(), *declared.label_nodes.values()])
