"""Calls such as operators make: what a plan that is read from a text must hold.

A kernel reads the tables of what is learnt per key by codes that it does not check, so that a call
whose arguments do not belong together must not come to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastfeat.aggregates import is_target
from fastfeat.errors import ArtifactError
from fastfeat.io.columns.dates import date_format
from fastfeat.io.columns.regex import grouped_pattern, groups_of_replacement, matches_nothing
from fastfeat.ir.node import (
    GROUPS_AND_MISSING,
    TRAINING,
    Aggregate,
    Call,
    Literal,
    Node,
    Params,
    TableColumn,
)
from fastfeat.ir.parameters import LONGEST
from fastfeat.ir.scope import OVER, is_over, is_over_table, seen_of
from fastfeat.scalars import SCALARS
from fastfeat.steps.registry import STEPS
from fastfeat.steps.windows.rows import OVER_FUNCTIONS


def check_call(call: Call) -> None:
    """Raise where no operator makes such a call.

    Raises:
        ArtifactError: its parameters, or its arguments, are others.
    """
    function, args = call.function, call.args
    row = SCALARS.get(function) or STEPS[function]
    if not row.valid(call.params):
        raise ArtifactError(f"{call.params!r} are no parameters of {function!r}")
    if row.n_args not in (None, len(args)):
        raise ArtifactError(f"{function!r} has {len(args)} arguments")
    if function in ("asof_row", "lookup_row") and (not args or len(args) % 2):
        raise ArtifactError(f"{function!r} has {len(args)} arguments")
    if any(map(is_exploded, args)):
        raise ArtifactError(f"{function!r} has elements of lists as an argument, not rows")
    check_windows(function, args)
    if is_over(call) and not _is_over(call):
        raise ArtifactError(f"{call.params!r}, {args!r} are not those of {function!r}")
    if not _FITTING.get(function, _any)(call):
        raise ArtifactError(f"the arguments of {function!r} do not belong together")


def check_groups(aggregate: Aggregate) -> None:
    """Raise where no operator makes such an aggregate per group.

    Raises:
        ArtifactError: its folds, or its groups, are not those that its parameters tell of.
    """
    if not _are_groups(aggregate):
        raise ArtifactError(f"the groups of {aggregate.function!r} are made in another way")
    if is_target(aggregate):
        given, folds = dict(aggregate.params), aggregate.args[2]
        n_folds, ordered = given["n_folds"], given["ordered"]
        made_by = "encode" if n_folds is None else "time_fold" if ordered else "fold"
        if not (
            len(aggregate.args) == 3
            and isinstance(folds, Call)
            and folds.function == made_by
            and (n_folds is None or dict(folds.params)["n_folds"] == n_folds)
        ):
            raise ArtifactError(f"the folds of {aggregate.function!r} are made in another way")
    if any(map(is_exploded, aggregate.args)):
        raise ArtifactError(f"{aggregate.function!r} learns from elements of lists, not of rows")


def _are_groups(aggregate: Aggregate) -> bool:
    """Return whether the vocabulary of the groups leaves out those of fewer rows than is said."""
    match aggregate.args[1]:
        case Call("encode", (*_, Aggregate("vocabulary", _, learnt))):
            least = dict(learnt)["min_frequency"]
            of_target = aggregate.frame == GROUPS_AND_MISSING
            is_told = not of_target or least == dict(aggregate.params).get("min_rows")
            return is_told and _leaves_out_few(learnt)
        case _:
            return False


def _leaves_out_few(learnt: Params) -> bool:
    """Return whether a vocabulary has all keys, or all of so many rows."""
    given = dict(learnt)
    return given["max_categories"] is None and type(given["min_frequency"]) in (int, type(None))


def check_windows(function: str, args: tuple[Node, ...]) -> None:
    """Raise where a window, or the order that it is of, stands as a value."""
    of_over = ("ahead", "window") if function.startswith(OVER) else ()
    last = ("order", "table_order") if function in ("ahead", "window") else of_over
    for k, arg in enumerate(args):
        match arg:
            case Call("ahead" | "order" | "table_order" | "window" as part) if (
                part not in last or k != len(args) - 1
            ):
                raise ArtifactError(f"{function!r} has {part!r} as an argument")
            case _:
                pass


def is_exploded(node: Node) -> bool:
    """Return whether a node has a row an element of the lists, as only a vocabulary takes it."""
    return isinstance(node, Call) and node.function == "list.explode"


def _any(call: Call) -> bool:
    return True


def _never(call: Call) -> bool:
    """Return that no plan is written with a call: it is made of others where a plan is built."""
    return False


def _is_encode(call: Call) -> bool:
    """Return whether codes count in a vocabulary of the same parts, or in a given one."""
    *parts, known = call.args or (None,)
    is_cross = dict(call.params)["missing"] == "value"
    match known:
        case Literal(value):
            return isinstance(value, tuple) and value != () and len(parts) == 1 and not is_cross
        case Aggregate("vocabulary", args, params, frame) if frame == TRAINING:
            same_rule = dict(params)["missing"] == dict(call.params)["missing"]
            return same_rule and (args == tuple(parts) or _are_elements(parts, args))
        case _:
            return False


def _are_elements(parts: list[Any], of_vocabulary: tuple[Node, ...]) -> bool:
    """Return whether an element of a list is encoded in a vocabulary of all its elements."""
    match parts, of_vocabulary:
        case [Call("list.get", lists)], (Call("list.explode", exploded),):
            return lists == exploded
        case _:
            return False


def _is_list_encode(call: Call) -> bool:
    """Return whether the elements of lists count in a vocabulary of all of them."""
    lists, known = call.args
    match known:
        case Aggregate("vocabulary", (Call("list.explode", exploded),), params, frame):
            return exploded == (lists,) and frame == TRAINING and dict(params)["missing"] == "key"
        case _:
            return False


def _is_of_category(call: Call) -> bool:
    codes, learnt = call.args
    return (
        _counts_in_one_unseen(codes)
        and codes.args[-1] == learnt
        and isinstance(learnt, Aggregate)
        and _leaves_out_few(learnt.params)
    )


def _is_one_hot(call: Call) -> bool:
    (codes,) = call.args
    if _are_codes_of_lists(codes):
        return dict(call.params)["drop"] is None
    return _counts_in_one_unseen(codes)


def _is_has_code(call: Call) -> bool:
    return _are_codes_of_lists(call.args[0])


def _are_codes_of_lists(node: Node) -> bool:
    return isinstance(node, Call) and node.function == "list.encode"


def _is_code(call: Call) -> bool:
    """Return whether a code is compared with one: a column of an indicator that was selected."""
    codes, one = call.args
    is_number = isinstance(one, Literal) and type(one.value) is int and one.value >= 0
    return is_number and _counts_in_one_unseen(codes)


def _counts_in_one_unseen(codes: Node) -> bool:
    """Return whether codes are those of a learnt vocabulary, one of which is of the unseen."""
    return (
        isinstance(codes, Call)
        and codes.function == "encode"
        and dict(codes.params)["n_unseen"] == 1
        and isinstance(codes.args[-1], Aggregate)
    )


def _is_order(call: Call) -> bool:
    params = dict(call.params)
    return len(call.args) == 1 + params["n_keys"] + params["has_tie"]


def _is_table_order(call: Call) -> bool:
    """Return whether times and keys of the data stand before those of one table, and its tie."""
    params = dict(call.params)
    is_whole = len(call.args) == 2 * (1 + params["n_keys"]) + params["has_tie"]
    n_seen = 1 + params["n_keys"] + params["has_tie"]
    tables = {column.table for column in seen_of(call)}
    return is_whole and len(seen_of(call)) == n_seen and len(tables) == 1


def _is_window(call: Call) -> bool:
    (order,) = call.args
    params = dict(call.params)
    has_unit = params["last"] is not None or params["offset"] > 0
    return (
        isinstance(order, Call)
        and order.function in ("order", "table_order")
        and (params["unit"] is not None or not has_unit)
    )


def _is_ahead(call: Call) -> bool:
    (order,) = call.args
    params = dict(call.params)
    end, reach = params["end"], params["next"] + params["gap"]
    has_end = end is None or params["unit"] == "time" or -LONGEST <= end <= LONGEST
    is_order = isinstance(order, Call) and order.function in ("order", "table_order")
    return is_order and has_end and reach <= LONGEST


def _is_over(call: Call) -> bool:
    """Return whether a function over a window is one of a value and a window."""
    function = OVER_FUNCTIONS.get(call.function.removeprefix(OVER))
    match call.args:
        case (_, Call("window", _, window)) if function is not None:
            given = dict(window)
            is_whole = given["last"] is None and given["rows"] is None
            fits = is_whole or not function.of_all_past
            fits &= not (function.reads_own and is_over_table(call))
            return fits
        case (_, Call("ahead")) if function is not None:
            return not function.looks_back
        case _:
            return False


def _is_bucket_count(call: Call) -> bool:
    (counts,) = call.args
    return (
        isinstance(counts, Call)
        and counts.function in ("str.hash_ngrams", "str.hash_tokens")
        and dict(call.params)["bucket"] < dict(counts.params)["n_buckets"]
    )


def _is_lookup_value(call: Call) -> bool:
    row, column = call.args
    return (
        isinstance(row, Call)
        and row.function in ("asof_row", "lookup_row")
        and isinstance(column, TableColumn)
        and all(isinstance(k, TableColumn) and k.table == column.table for k in _right_keys(row))
    )


def _is_pattern(call: Call) -> bool:
    """Return whether a call has a regular expression, and what else it says belongs to it.

    Raises:
        InvalidPlan: it is no regular expression.
    """
    params = dict(call.params)
    pattern, value = params["pattern"], params.get("value")
    if params.get("literal", False):
        return pattern != ""
    n_groups = len(grouped_pattern(pattern).names)
    if call.function == "str.count_matches":
        return not matches_nothing(pattern)
    return params.get("group_index", 0) < n_groups and (
        value is None or all(k < n_groups for k in groups_of_replacement(value))
    )


def _has_literal(call: Call) -> bool:
    return dict(call.params)["pattern"] != ""


def _has_format(call: Call) -> bool:
    """Return whether a call says how a time is written.

    Raises:
        InvalidPlan: it does not.
    """
    date_format(dict(call.params)["format"])
    return True


def _right_keys(row: Call) -> tuple[Node, ...]:
    """Return the columns of the table that a lookup compares."""
    return row.args[len(row.args) // 2 :]


_FITTING: Mapping[str, Callable[[Call], bool]] = {
    "ahead": _is_ahead,
    "bucket_count": _is_bucket_count,
    "category_count": _is_of_category,
    "category_share": _is_of_category,
    "encode": _is_encode,
    "is_code": _is_code,
    "list.encode": _is_list_encode,
    "list.has_code": _is_has_code,
    "lookup_value": _is_lookup_value,
    "one_hot": _is_one_hot,
    "order": _is_order,
    "table_order": _is_table_order,
    "time_fold_known": _never,
    "window": _is_window,
    "str.contains": _is_pattern,
    "str.count_matches": _is_pattern,
    "str.count_matches_literal": _has_literal,
    "str.extract": _is_pattern,
    "str.replace": _is_pattern,
    "str.to_datetime": _has_format,
}
