"""Planning windows over data larger than memory: which functions are computed in one pass.

Rows are split into shares (partitions) by the hash of their entity keys. All rows of an entity are
in one share, so each share can be computed alone. A stage is one such split with its functions.
"Functions of other rows" are window functions and functions over later rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidPlan
from fastfeat.execute.fitted import Fitted, InputSchema, fitted_of_values
from fastfeat.expr import Expr
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.scope import (
    is_of_other_rows,
    order_of,
    query_of,
    row_order,
    window_nodes,
)
from fastfeat.ir.show import show
from fastfeat.operators.categories import cross
from fastfeat.operators.hashing import hash as hash_of
from fastfeat.plan.declare.bind import TableTypes
from fastfeat.plan.declare.declaration import declare
from fastfeat.plan.declare.window_reach import entity_text
from fastfeat.plan.lower.lower import LearntConstant

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable

SHARE = "share"
"""Name of the only feature of the plan that computes the partition of each row."""


@dataclass(frozen=True, slots=True)
class WindowStage:
    """Functions of other rows that are computed together, on one hash partition (share) at a time.

    Args:
        keys: Entity keys; rows with equal values are in one share. If empty, the functions see
            rows of all entities, sorted by one time column.
        nodes: The functions.
        given: Functions of earlier stages that these functions read.
        of_seen: Whether later stages read these functions; if so, they are computed for the
            history as well.
    """

    keys: frozenset[Node]
    nodes: tuple[Call, ...]
    given: tuple[Call, ...] = ()
    of_seen: bool = False


def stages_of(nodes: Iterable[Call]) -> list[WindowStage]:
    """Return the stages, in the order to run them, that compute the given functions of other rows.

    If one function reads another and both have an entity key in common, one stage computes both.
    """
    wanted: dict[tuple[Call, bool], int] = {}  # value: the round of stages

    def ask(node: Call, *, of_seen: bool) -> int:
        known = wanted.get((node, of_seen))
        if known is None:
            below = [ask(inner, of_seen=True) for inner in _shared_by(node)[1]]
            known = wanted[node, of_seen] = 1 + max(below, default=0)
        return known

    for node in nodes:
        ask(node, of_seen=False)
    stages: list[WindowStage] = []
    groups: dict[tuple[int, bool], list[Call]] = {}
    for (node, of_seen), number in sorted(wanted.items(), key=lambda of: of[1]):
        groups.setdefault((number, of_seen), []).append(node)
    for (_, of_seen), group in groups.items():
        of_keys: dict[tuple[frozenset[Node], Call | None], list[Call]] = {}
        for node in sorted(group, key=lambda one: len(_shared_by(one)[0])):
            keys = _shared_by(node)[0]
            of_fewer = next((known for known, _ in of_keys if known and known <= keys), keys)
            of_keys.setdefault((of_fewer, None if keys else order_of(node)), []).append(node)
        for (keys, _), own in of_keys.items():
            given = dict.fromkeys(inner for node in own for inner in _shared_by(node)[1])
            stages.append(WindowStage(keys, tuple(own), tuple(given), of_seen))
    return stages


@lru_cache(maxsize=4096)
def _shared_by(node: Call) -> tuple[frozenset[Node], tuple[Call, ...]]:
    """Return the entity keys that all rows a function sees have in common, and functions it needs.

    These functions are nested in it and have no common key: an earlier stage has to compute them.
    """
    keys = frozenset(key for key in query_of(order_of(node))[1:] if not window_nodes([key]))
    given: list[Call] = []
    for inner in outermost_functions([node.args[0], *order_of(node).args]):
        of_inner, of_others = _shared_by(inner)
        if keys & of_inner:
            keys &= of_inner
            given.extend(of_others)
        else:
            given.append(inner)
    return keys, tuple(given)


def outermost_functions(roots: Iterable[Node]) -> list[Call]:
    """Return the outermost functions of other rows inside the given expressions."""
    return [node for node in row_order(roots) if is_of_other_rows(node)]


def keys_in_common(windows: Sequence[Call]) -> frozenset[Node]:
    """Return the entity keys that all windows have in common; an empty set without windows.

    `windows` must include nested window functions.

    Raises:
        InvalidPlan: The windows have no entity key in common, or the common key is learned.
    """
    orders = list(dict.fromkeys(map(order_of, windows)))
    keys = [frozenset(query_of(order)[1:]) for order in orders]
    common = keys[0].intersection(*keys[1:]) if keys else frozenset[Node]()
    if orders and not common:
        texts = "; ".join(dict.fromkeys(map(entity_text, orders)))
        raise InvalidPlan(
            f"the windows have no entity in common (they see: {texts}), so rows cannot be divided "
            "among workers such that each worker has all rows that its windows see. Fit on files, "
            "plan.fit(files), or leave out features until all windows have an entity in common"
        )
    learnt = [node for node in postorder(list(common)) if isinstance(node, Aggregate)]
    if learnt:
        raise InvalidPlan(
            f"the entity of the windows, {entity_text(orders[0])}, is computed from learnt values, "
            "but workers exchange rows before anything is learnt. Fit on files, plan.fit(files)"
        )
    return common


def share_plan(
    keys: Iterable[Node],
    n_shares: int,
    inputs: InputSchema,
    tables: TableTypes,
    zones: dict[str, ZoneTable],
    learnt: Mapping[Node, LearntConstant],
) -> Fitted:
    """Return a fitted plan that computes the partition number of each row, by the hash of its keys.

    A row with a missing key sees no other rows: its number is 0, or missing.

    Args:
        keys: Expressions over the rows of a plan.
        n_shares: Number of shares.
        inputs: Type of each column that the plan reads.
        tables: Column types of each lookup table.
        zones: Tables of the time zones that the plan reads.
        learnt: Learned values that the keys read.
    """
    parts = [Expr((key,)) for key in sorted(keys, key=show)]
    share = hash_of(parts[0] if len(parts) == 1 else cross(*parts), n_shares)
    plan = declare({SHARE: share})
    reached = postorder(list(plan.nodes.values()))
    known: dict[Node, LearntConstant] = {
        node: learnt[node] for node in reached if isinstance(node, Aggregate)
    }
    read = {name: inputs[name] for name in plan.columns}
    of_tables = {c.table: tables[c.table] for c in plan.table_columns}
    return fitted_of_values(plan, read, lambda _: known, 0, zones, tables=of_tables)
