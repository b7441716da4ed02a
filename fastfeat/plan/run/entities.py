"""Features by the entities whose rows their windows see, and the share of the rows of each entity.

Rows of an entity are all in one share, so that features of a share are those of all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fastfeat.errors import InvalidPlan
from fastfeat.expr import Expr
from fastfeat.ir.node import Aggregate, Call, Node, postorder
from fastfeat.ir.scope import order_of, query_of, window_nodes
from fastfeat.ir.show import show
from fastfeat.operators.categories import cross
from fastfeat.operators.hashing import hash as hash_of
from fastfeat.plan.declare.bind import Schemas
from fastfeat.plan.declare.declaration import declare
from fastfeat.plan.declare.window_reach import entity_text
from fastfeat.plan.lower.lower import Constant
from fastfeat.plan.run.fitted import Fitted, InputSchema, fitted_of_values
from fastfeat.scalars.zones import ZoneTable

SHARE = "share"
"""The name of the only feature of a plan of shares."""


@dataclass(frozen=True, slots=True)
class EntityFeatures:
    """Features whose windows see rows that are alike in some keys.

    Args:
        keys: these, which tell shares of rows apart.
        names: columns of the output.
    """

    keys: frozenset[Node]
    names: tuple[str, ...]


def features_by_entity(fitted: Fitted) -> tuple[list[EntityFeatures], list[str]]:
    """Return features by the entities that they see rows of, and those that see no other rows.

    Raises:
        InvalidPlan: a feature sees rows of several entities, or of all.
    """
    alone: list[str] = []
    found: list[tuple[frozenset[Node], str]] = []
    for name, node in fitted.nodes.items():
        orders = [order_of(over) for over in window_nodes([node])]
        if not orders:
            alone.append(name)
            continue
        common = frozenset(query_of(orders[0])[1:])
        for order in orders[1:]:
            common &= frozenset(query_of(order)[1:])
        if not common:
            texts = " and of ".join(dict.fromkeys(map(entity_text, orders)))
            seen = texts if texts == "all rows" else f"rows of {texts}"
            raise InvalidPlan(
                f"feature {name!r} sees {seen}, which are not together in any share of "
                "data that is read in pieces. Read the data whole, fitted.transform(data, "
                "history=...), or leave the feature out: fitted.select([...])"
            )
        found.append((common, name))
    groups: dict[frozenset[Node], list[str]] = {}
    for keys, name in sorted(found, key=lambda of: len(of[0])):
        of_fewer = next((known for known in groups if known <= keys), keys)
        groups.setdefault(of_fewer, []).append(name)
    return [EntityFeatures(keys, tuple(names)) for keys, names in groups.items()], alone


def keys_in_common(windows: Sequence[Call]) -> frozenset[Node]:
    """Return the keys that rows have in common wherever one sees another; none without windows.

    Args:
        windows: functions over the rows in windows, those below others among them.

    Raises:
        InvalidPlan: rows are seen of several entities that have no key in common, or of all.
    """
    orders = list(dict.fromkeys(map(order_of, windows)))
    keys = [frozenset(query_of(order)[1:]) for order in orders]
    common = keys[0].intersection(*keys[1:]) if keys else frozenset[Node]()
    if orders and not common:
        texts = " and of ".join(dict.fromkeys(map(entity_text, orders)))
        raise InvalidPlan(
            f"windows see rows of {texts}, and no exchange of rows brings all of these together. "
            "Fit on files, plan.fit(files), or leave features out, so that one entity is left"
        )
    learnt = [node for node in postorder(list(common)) if isinstance(node, Aggregate)]
    if learnt:
        raise InvalidPlan(
            f"windows see rows by {entity_text(orders[0])}, which is made of what is learnt: rows "
            "are exchanged before anything is. Fit on files, plan.fit(files)"
        )
    return common


def share_plan(
    keys: Iterable[Node],
    n_shares: int,
    inputs: InputSchema,
    tables: Schemas,
    zones: dict[str, ZoneTable],
    learnt: Mapping[Node, Constant],
) -> Fitted:
    """Return the plan of the share that each row is in, by the hash of its keys.

    A row without a key is in the first share, or missing: it sees no row.

    Args:
        keys: expressions of the rows of a plan.
        n_shares: how many there are.
        inputs: type of each column that the plan reads.
        tables: the same of tables.
        zones: the tables of the time zones that it reads.
        learnt: what keys are made of.
    """
    parts = [Expr((key,)) for key in sorted(keys, key=show)]
    share = hash_of(parts[0] if len(parts) == 1 else cross(*parts), n_shares)
    plan = declare({SHARE: share})
    reached = postorder(list(plan.nodes.values()))
    known: dict[Node, Constant] = {
        node: learnt[node] for node in reached if isinstance(node, Aggregate)
    }
    read = {name: inputs[name] for name in plan.columns}
    of_tables = {c.table: tables[c.table] for c in plan.table_columns}
    return fitted_of_values(plan, read, lambda _: known, 0, zones, tables=of_tables)
