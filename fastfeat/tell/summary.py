"""A plan in a few lines for notebooks: a line per feature, limited to fit a screen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, cast

from fastfeat_kernels.records import dataclass

from fastfeat.aggregates import is_target
from fastfeat.errors import counted, shortened
from fastfeat.execute.fitted import Fitted
from fastfeat.ir.node import Aggregate, Call, Node, TableColumn, postorder
from fastfeat.ir.scope import window_nodes
from fastfeat.ir.show import show_columns
from fastfeat.markup.html import short, shorten_middle
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.lower import indicators
from fastfeat.plan.lower.outputs import output_types

if TYPE_CHECKING:
    from fastfeat.expr import Expr

MOST_LINES = 20
_MOST_NAMES = 3
_LONGEST_LINE = 116
_SHORTEST_FORMULA = 24


@dataclass(frozen=True, slots=True)
class FeatureSources:
    """The kinds of data that a feature depends on besides its own row.

    Args:
        learns: Whether fit learns values for it.
        label: Whether it learns values from the label (for a training row: from other folds).
        past: Whether it reads earlier rows of the data.
        tables: Lookup tables that it reads.
    """

    learns: bool
    label: bool
    past: bool
    tables: tuple[str, ...]

    def __str__(self) -> str:
        """Return the sources in a few words; "" if the feature depends on its own row only."""
        learnt = "learnt out of fold from the label" if self.label else "learnt in fit"
        told = [
            *([learnt] if self.learns else []),
            *(["sees earlier rows"] if self.past else []),
            *([f"table {shortened(self.tables, _MOST_NAMES)}"] if self.tables else []),
        ]
        return ", ".join(told)


def feature_sources(nodes: Iterable[Node]) -> FeatureSources:
    """Return the kinds of data that a feature depends on, from the expressions of its columns."""
    roots = list(nodes)
    every = postorder(roots)
    learnt = [node for node in every if isinstance(node, Aggregate)]
    tables = dict.fromkeys(node.table for node in every if isinstance(node, TableColumn))
    past = len(window_nodes(roots)) > 0
    return FeatureSources(len(learnt) > 0, any(map(is_target, learnt)), past, tuple(tables))


def plan_summary(plan: Declaration) -> str:
    """Return a line on the plan, and a line for each of its first features."""
    return _summary_text(head_of_plan(plan), plan, lambda name: "")


def fitted_summary(fitted: Fitted) -> str:
    """Return a line on the fitted plan, and a line for each of its first features."""
    return _summary_text(
        head_of_fitted(fitted), fitted.declaration, lambda name: f" {type_of(fitted, name)} ="
    )


def head_of_plan(plan: Declaration) -> str:
    """Return the number of features of a plan, and its options, as text."""
    return f"Plan of {counted(len(plan.features), 'feature')}{_options(plan)}"


def head_of_fitted(fitted: Fitted) -> str:
    """Return the numbers of features, columns and training rows of a fitted plan, as text."""
    n_features, n_columns = len(fitted.declaration.features), len(fitted.nodes)
    columns = "" if n_columns == n_features else f" in {counted(n_columns, 'column')}"
    head = f"FittedPlan of {counted(n_features, 'feature')}{columns}{_options(fitted.declaration)}"
    without = fitted.n_rows_without_label
    left_out = f" ({counted(without, 'row')} without a label left out)" if without else ""
    return f"{head}, fitted on {counted(fitted.n_rows, 'row')}{left_out}"


def type_of(fitted: Fitted, feature: str) -> str:
    """Return the type of a feature as text, or the number and type of its columns."""
    plan, n_columns = fitted.declaration, 0
    types: dict[str, None] = {}
    for suffix in plan.features[feature].suffixes:
        node = plan.nodes[feature + suffix]
        if indicators.is_one_hot(node):
            n_columns += indicators.n_indicators(cast("Call", node), fitted.constants, fitted.bound)
            types["uint8"] = None
        else:
            n_columns += 1
            name = feature + suffix
            types[str(output_types(fitted.typed, {name: node}, fitted.bound)[name])] = None
    of_type = f" of {next(iter(types))}" if len(types) == 1 else ""
    is_one = n_columns == 1 and len(plan.features[feature].nodes) == 1
    return next(iter(types)) if is_one else f"{counted(n_columns, 'column')}{of_type}"


def _options(plan: Declaration) -> str:
    """Return the options of a plan that were set, as text."""
    options = {
        "label": shortened(map(short, plan.label_nodes)),
        "dtype": plan.dtype and repr(plan.dtype),
        "codes": plan.codes and repr(plan.codes),
        "keep": plan.keep and f"[{shortened(map(short, plan.keep), _MOST_NAMES)}]",
    }
    return "".join(f", {name}={value}" for name, value in options.items() if value)


def _summary_text(head: str, plan: Declaration, type_told: Callable[[str], str]) -> str:
    features: Mapping[str, Expr] = plan.features
    n_shown = len(features) if len(features) < MOST_LINES else MOST_LINES - 2
    lines = [head]
    for name, expression in islice(features.items(), n_shown):
        start, seen = f"  {short(name)}:{type_told(name)} ", str(feature_sources(expression.nodes))
        end = f"  ({seen})" if seen else ""
        room = max(_SHORTEST_FORMULA, _LONGEST_LINE - len(start) - len(end))
        lines.append(f"{start}{shorten_middle(show_columns(expression.nodes), room)}{end}")
    if n_shown < len(features):
        lines.append(f"  ... and {len(features) - n_shown:,} more. explain() shows all of them")
    return "\n".join(lines)
