"""The table of steps: functions of whole columns, run between the programs over rows.

A program computes row by row; a step computes a function that needs more, such as a lookup of keys.
To add a step, add a row to the table of a module, and the step's name here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastfeat.first_use import LazyRows
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import Aggregate, Call, Literal, Node

if TYPE_CHECKING:
    from fastfeat.steps.step import HostStep, StepFunction

STEPS: LazyRows[StepFunction] = LazyRows(
    "fastfeat.steps.{}",
    {
        "tables.rows:STEPS": "asof_row lookup_row lookup_value",
        "keys.rows:STEPS": "encode hash_cross",
        "lists.rows:LISTS": (
            "list.sum list.mean list.min list.max list.var list.std list.contains "
            "list.encode list.explode list.get list.has_code list.len list.slice"
        ),
        "targets.rows:STEPS": "fold",
        "targets.time_folds:STEPS": "time_fold time_fold_known",
        "text.patterns:STEPS": "str.contains str.count_matches str.extract str.find str.replace "
        "str.to_datetime",
        "windows.table_rows:STEPS": "table_order",
        "text.rows:STEPS": (
            "bucket_count str.contains_literal str.count_matches_literal str.ends_with "
            "str.find_literal str.hash_ngrams str.hash_tokens str.len_bytes str.len_chars "
            "str.slice str.starts_with str.strip_chars str.strip_chars_end "
            "str.strip_chars_start str.to_float str.to_integer str.to_lowercase "
            "str.to_uppercase str.token_count"
        ),
        "windows.rows:STEPS": (
            "ahead order window over.count over.sum over.mean over.var over.std over.skew "
            "over.kurtosis over.min over.max over.quantile over.mode over.n_unique "
            "over.null_count over.first over.last over.lag over.time_since "
            "over.time_since_lag over.ewm_mean over.ewm_mean_by over.rank over.slope "
            "over.streak over.ewm_sum over.ewm_sum_by"
        ),
    },
)
OF_CONTENT: LazyRows[StepFunction] = LazyRows(
    "fastfeat.steps.{}:OF_CONTENT", {"text.choice": "coalesce fill_null when", "keys.rows": "hash"}
)
"""Scalar functions that are steps if an argument is text or bytes."""
PARTS_OF_WINDOWS = frozenset({"ahead", "order", "table_order", "window"})
"""Functions that give no column of values: windows, and the orders of their rows."""


def is_step(node: Node, types: Mapping[Node, DType]) -> bool:
    """Return whether a node is computed by a step, rather than within a program over rows.

    Aggregates of text or bytes count as steps. `types` has the type of every node of the plan.
    """
    if isinstance(node, Aggregate):
        return types[node].holds_bytes
    if not isinstance(node, Call) or node.function in PARTS_OF_WINDOWS:
        return False
    if node.function in OF_CONTENT:
        return any(types[arg].holds_bytes for arg in node.args)
    return node.function in STEPS


def step_function(call: Call) -> StepFunction:
    return STEPS.get(call.function) or OF_CONTENT[call.function]


def host_step(call: Call) -> HostStep | None:
    """Return the function of the host that computes a call on every backend; None without one."""
    step = step_function(call)
    return None if step.by_kernel is not None and step.by_kernel(dict(call.params)) else step.host


def is_constant_step(node: Call, texts: set[Node]) -> bool:
    """Return whether a call with constant arguments is a step.

    `texts` has the calls found so far that depend on text; this call is added if it does so too.
    """
    if node.function not in OF_CONTENT:
        return node.function in STEPS
    of_text = any(isinstance(a, Literal) and isinstance(a.value, str) for a in node.args)
    if of_text or not texts.isdisjoint(node.args):
        texts.add(node)
        return True
    return False
