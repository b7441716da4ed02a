"""A plan as a table in a notebook: a row per feature, which unfolds to its details.

Text from users is escaped, there is no script, and the number of features is limited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.keys import Groups, Vocabulary
from fastfeat.errors import counted
from fastfeat.execute.fitted import Fitted
from fastfeat.io.columns.times import python_value
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, GroupFrame, Node, postorder
from fastfeat.ir.show import show, show_all, show_columns
from fastfeat.keep.state import aggregates_of
from fastfeat.markup.html import (
    details_block,
    details_list,
    in_notebook,
    lines,
    short,
    shorten_middle,
    table,
)
from fastfeat.plan.declare.declaration import Declaration
from fastfeat.plan.declare.source_columns import columns_of
from fastfeat.plan.declare.window_reach import history_needed
from fastfeat.plan.lower.lower import LearntConstant
from fastfeat.steps.registry import STEPS, host_step
from fastfeat.tell.summary import feature_sources, head_of_fitted, head_of_plan, type_of

MOST_FEATURES = 50
_MOST_LISTED = 12
_LONGEST_FORMULA = 90
_LONGEST_VALUE = 100
FORMULAS = frozenset({"formula", "label", "learnt", "windows"})
"""Titles of details that are code, not names."""


def plan_html(plan: Declaration) -> str:
    """Return a plan as HTML."""
    head = ("feature", "formula", "learns", "sees", "runs on")
    rows = [
        [_name_cell(name), _formula(details_of(plan, name)), *facts_of(plan, name)]
        for name in islice(plan.features, MOST_FEATURES)
    ]
    return _page(head_of_plan(plan), head, rows, plan)


def fitted_html(fitted: Fitted) -> str:
    """Return a fitted plan as HTML, with types and learnt values."""
    plan = fitted.declaration
    head = ("feature", "type", "formula", "learns", "sees", "runs on")
    rows = [
        [
            _name_cell(name),
            escape(type_of(fitted, name)),
            _formula({**details_of(plan, name), "learnt": learnt_lines(fitted, name)}),
            *facts_of(plan, name),
        ]
        for name in islice(plan.features, MOST_FEATURES)
    ]
    return _page(head_of_fitted(fitted), head, rows, plan)


def _page(told: str, head: Sequence[str], rows: Sequence[Sequence[str]], plan: Declaration) -> str:
    """Return the whole HTML output; `rows` are HTML, and `told` and `head` are text to escape."""
    left = len(plan.features) - len(rows)
    more = f"<p>... and {left:,} more. explain() shows all of them</p>" if left else ""
    return in_notebook(told, f"{_options(plan)}{table(head, rows)}{more}")


def _options(plan: Declaration) -> str:
    """Return the options of a plan as a collapsed HTML block; "" without options."""
    label = [f"{name} = {show(node)}" for name, node in plan.label_nodes.items()]
    given = {
        "label": label,
        "late columns": plan.late,
        "known": plan.known,
        "known_clocks": plan.known_clocks,
        "label_delay": [] if plan.label_delay is None else [str(plan.label_delay)],
        "keep": plan.keep,
        "row_id": plan.row_ids,
        "reads": plan.columns,
    }
    if not any(given.values()):
        return ""
    return details_block("options", details_list(given, FORMULAS))


def _name_cell(name: str) -> str:
    return f"<b>{escape(short(name))}</b>"


def _formula(details: Mapping[str, Sequence[str]]) -> str:
    """Return a shortened formula as an HTML block that unfolds to the details."""
    (formula,) = details["formula"]
    start = shorten_middle(formula, _LONGEST_FORMULA)
    more = {title: texts for title, texts in details.items() if [*texts] != [start]}
    return details_block(f"<code>{escape(start)}</code>", details_list(more, FORMULAS))


def _nodes(plan: Declaration, feature: str) -> list[Node]:
    return [plan.nodes[feature + suffix] for suffix in plan.features[feature].suffixes]


def details_of(plan: Declaration, feature: str) -> dict[str, Sequence[str]]:
    """Return the details of a feature by title: full formula, columns, inputs, tables, windows."""
    expression, nodes = plan.features[feature], _nodes(plan, feature)
    windows = [
        node for node in postorder(nodes) if isinstance(node, Call) and node.function == "window"
    ]
    columns = [feature + suffix for suffix in expression.suffixes]
    return {
        "formula": [show_columns(expression.nodes)],
        "columns": columns if len(columns) > 1 else [],
        "reads": columns_of(nodes),
        "tables": feature_sources(nodes).tables,
        "windows": list(dict.fromkeys(show_all(windows).values())),
    }


def facts_of(plan: Declaration, feature: str) -> list[str]:
    """Return three table cells on a feature: its learnt values, the data it sees, how it runs."""
    nodes = _nodes(plan, feature)
    cells = [_learns(nodes), _sees(nodes), _runs_on(nodes)]
    return [lines(cell) for cell in cells]


def _learns(nodes: Iterable[Node]) -> list[str]:
    learnt = aggregates_of(nodes)
    words = [learnt_word(one) for one in learnt]
    return list(dict.fromkeys(words)) or ["nothing"]


def learnt_word(learnt: Aggregate) -> str:
    """Return a short name for a learnt value, such as "mean by key"."""
    by_key = " by key" if isinstance(learnt.frame, GroupFrame) else ""
    return f"{AGGREGATES[learnt.function].called or learnt.function}{by_key}"


def _sees(nodes: list[Node]) -> list[str]:
    seen = feature_sources(nodes)
    past = [
        f"earlier rows of {short(entity)}: {reach}"
        for entity, reach in history_needed(nodes).items()
    ]
    label = ["the label, out of fold"] if seen.label else []
    return [*label, *past, *(f"table {table}" for table in seen.tables)] or ["its own row"]


def _runs_on(nodes: list[Node]) -> list[str]:
    """Return "kernel", then a line for each function of a feature that Arrow computes."""
    calls = [node for node in postorder(nodes) if isinstance(node, Call)]
    host = [c.function for c in calls if c.function in STEPS and host_step(c) is not None]
    return ["kernel", *(f"host: {name}" for name in dict.fromkeys(host))]


def learnt_lines(fitted: Fitted, feature: str) -> list[str]:
    """Return a line for each learnt value of a feature; tables of keys show only their length."""
    learnt = aggregates_of(_nodes(fitted.declaration, feature))
    values, types = fitted.constants, fitted.bound
    return [
        f"{shorten_middle(text, _LONGEST_VALUE)} = {learnt_text(values[one], types[one])}"
        for one, text in show_all(learnt[: _MOST_LISTED + 1]).items()
    ]


def learnt_text(value: LearntConstant, dtype: DType) -> str:
    """Return a learnt value as text; for tables of keys, only their length."""
    match value:
        case Vocabulary():
            return counted(len(value), "key")
        case Groups():
            return f"{counted(len(value.values), 'value')}, one per key"
        case _:
            return shorten_middle(repr(python_value(value, dtype)), _LONGEST_VALUE)
