"""A plan as a JSON document, and back.

Reading runs no code from the document: it only looks up names of functions in the registries of
this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import ArtifactError, FastfeatError, counted
from fastfeat.expr import Expr
from fastfeat.ir.node import Node, postorder
from fastfeat.ir.scope import is_exploded
from fastfeat.keep import canonical
from fastfeat.plan.declare.declaration import Declaration, RecordedCalls, declare
from fastfeat.plan.declare.external_label import with_label_column
from fastfeat.plan.declare.source_columns import tables_of

FORMAT = 1
PARTS = frozenset(
    {"format", "nodes", "features", "label", "outcomes", "dtype", "keep", "label_delay"}
)
OPTIONAL_PARTS = frozenset(
    {"codes", "known", "known_clocks", "known_tables", "label_column", "params", "row_id"}
)
"""Parts that a document has only if the plan uses them; "params" if an older version wrote it."""


@with_ieee_arithmetic
def plan_document(plan: Declaration) -> dict[str, Any]:
    """Return a plan as a JSON document; `plan_of_document` reads it."""
    label: Mapping[str, Expr] = plan.label if isinstance(plan.label, Mapping) else {}
    every = [*plan.features.values(), *label.values()]
    roots = [node for expression in every for node in expression.nodes]
    nodes, position = canonical.nodes_to_json(
        [*roots, *(plan.recorded.nodes if plan.recorded else ())]
    )

    def shown(expressions: Mapping[str, Expr]) -> list[Any]:
        return [
            [name, [position[n] for n in e.nodes], list(e.suffixes)]
            for name, e in expressions.items()
        ]

    document = {
        "format": FORMAT,
        "nodes": nodes,
        "features": shown(plan.features),
        "label": shown(label) if label else plan.label,
        "outcomes": _plain(plan.outcomes),
        "dtype": plan.dtype,
        "keep": list(plan.keep),
        "label_delay": _plain(plan.label_delay),
    }
    optional = {
        "known": list(plan.known),
        "known_tables": {table: list(names) for table, names in plan.known_tables.items()},
        "known_clocks": list(plan.known_clocks),
        "row_id": plan.row_id,
        "codes": plan.codes,
        "params": plan.recorded and json.loads(plan.recorded.text),
        "label_column": None if plan.label_column == plan.label else plan.label_column,
    }
    return document | {name: part for name, part in optional.items() if part}


def plan_text(plan: Declaration) -> str:
    """Return a plan as canonical JSON: equal plans give equal text."""
    return canonical.dump(plan_document(plan))


def _plain(given: Any) -> Any:
    """Return names or delays as values that JSON can express."""
    if isinstance(given, Mapping):
        items = cast("Mapping[str, Any]", given).items()
        return {name: _plain(value) for name, value in items}
    return list(cast("tuple[str, ...]", given)) if isinstance(given, tuple) else given


@with_ieee_arithmetic
def plan_of_text(text: str | bytes) -> Declaration:
    """Return the plan of a JSON text.

    Raises:
        ArtifactError: The text is not a plan, or is unknown to this version.
        TypeMismatch: `text` is not text.
        FastfeatError: The plan is not valid; Leakage if a feature reads a value that is known too
            late.
    """
    return plan_of_document(canonical.document_of_text(text, "plan"))


def plan_of_document(document: Any) -> Declaration:
    """Return the plan of a JSON document; raises like `plan_of_text`."""
    head = "format", FORMAT
    parts = canonical.parts_of_document(document, "plan", head, PARTS, OPTIONAL_PARTS)
    try:
        return _plan(parts)
    except FastfeatError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise ArtifactError(f"the plan is damaged: {error}") from None


def _plan(parts: Mapping[str, Any]) -> Declaration:
    """Return the plan from the parts of a document.

    Raises:
        ArtifactError: A part is damaged.
        FastfeatError: The parts can be read, but make no valid plan.
    """
    nodes = canonical.nodes_from_json(parts["nodes"])
    features = _expressions(parts["features"], nodes)
    label: Any = parts["label"]
    of_label = _expressions(label, nodes) if canonical.is_list(label) else None
    plan = declare(
        features,
        label=cast("str | None", label) if of_label is None else of_label,
        outcomes=parts["outcomes"],
        dtype=parts["dtype"],
        keep=parts["keep"],
        label_delay=parts["label_delay"],
        known=parts.get("known", ()),
        known_tables=parts.get("known_tables", {}),
        known_clocks=parts.get("known_clocks", ()),
        row_id=parts.get("row_id"),
        codes=parts.get("codes"),
    )
    if "params" in parts:
        plan = replace(plan, recorded=_recorded_calls(parts["params"], nodes, plan))
    return with_label_column(plan, _column_name(parts.get("label_column")))


def _recorded_calls(part: Any, nodes: Sequence[Node], plan: Declaration) -> RecordedCalls:
    """Return the record of calls that an earlier version wrote.

    It is not interpreted: the nodes, with the values of that time, are the plan.
    """
    match part:
        case {"values": {}, "steps": [*_], **rest} if not rest:
            read = {*postorder([*plan.nodes.values(), *plan.label_nodes.values()])}
            others = tuple(node for node in nodes if node not in read)
            return RecordedCalls(canonical.dump(part), others)
        case _:
            raise ArtifactError("the parameters of the plan are damaged")


def _column_name(part: Any) -> str | None:
    if part is None or isinstance(part, str):
        return part
    raise ArtifactError(f"label_column={part!r} is not the name of a column")


def _expressions(entries: Any, nodes: Sequence[Node]) -> dict[str, Expr]:
    expressions: dict[str, Expr] = {}
    for entry in entries:
        match entry:
            case [str(name), positions, suffixes] if (
                canonical.is_list(positions)
                and positions
                and canonical.is_list(suffixes)
                and name not in expressions
            ):
                expressions[name] = _expression(name, positions, suffixes, nodes)
            case [str(name), [_, *_], [*_]] if name in expressions:
                raise ArtifactError(f"two features have the name {name!r}")
            case _:
                raise ArtifactError(
                    f"{entry!r} is not a feature, which is a list of a name, node numbers and "
                    "suffixes"
                )
    return expressions


def _expression(
    name: str, positions: list[Any], suffixes: list[Any], nodes: Sequence[Node]
) -> Expr:
    if not all(type(k) is int and 0 <= k < len(nodes) for k in positions):
        raise ArtifactError(f"feature {name!r} refers to a node that does not exist")
    if len(suffixes) != len(positions) or not all(isinstance(s, str) for s in suffixes):
        n_columns = counted(len(positions), "column")
        raise ArtifactError(
            f"feature {name!r} has {n_columns}, but the suffixes {suffixes!r}: it needs a text for "
            "each column"
        )
    found = tuple(nodes[k] for k in cast("list[int]", positions))
    if any(table is not None for table in tables_of(found).values()):
        raise ArtifactError(
            f"feature {name!r} has a value per row of a lookup table, instead of per row of the "
            "data"
        )
    if any(map(is_exploded, found)):
        raise ArtifactError(
            f"feature {name!r} has a value per element of a list, instead of per row of the data"
        )
    return Expr(found, tuple(suffixes))
