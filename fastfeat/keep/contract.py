"""A contract as a readable JSON document, and back. Reading runs nothing.

The document has each rule twice: as text, which is only for people, and as the index of its node in
the list of nodes, from which the rule is read back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from fastfeat.engine.float_environment import with_ieee_arithmetic
from fastfeat.errors import ArtifactError, FastfeatError
from fastfeat.expr import Expr
from fastfeat.ir.scope import is_exploded
from fastfeat.keep import canonical
from fastfeat.plan.declare.contract import ContractDeclaration, Rule, declare_contract, rule_text
from fastfeat.plan.declare.source_columns import tables_of

FORMAT = 1
PARTS = frozenset({"contract", "clock", "types", "rules", "nodes"})
_RULE = frozenset({"name", "says", "on_violation", "at_most", "node"})


@with_ieee_arithmetic
def contract_document(contract: ContractDeclaration) -> dict[str, Any]:
    """Return a contract as a JSON document; `contract_of_document` reads it."""
    nodes, position = canonical.nodes_to_json(list(contract.nodes.values()))
    rules = [
        {
            "name": name,
            "says": rule_text(contract.nodes[name]),
            "on_violation": rule.on_violation,
            "at_most": rule.at_most,
            "node": position[contract.nodes[name]],
        }
        for name, rule in contract.rules.items()
    ]
    return {
        "contract": FORMAT,
        "clock": contract.clock,
        "types": {column: str(dtype) for column, dtype in contract.types.items()},
        "rules": rules,
        "nodes": nodes,
    }


def contract_text(contract: ContractDeclaration) -> str:
    """Return a contract as JSON with a line per rule and node: equal contracts give equal text."""
    return readable(contract_document(contract))


def readable(document: Mapping[str, Any]) -> str:
    """Return JSON with one line per entry of the document, and one per element of a list entry."""
    parts = [f" {_text(name)}: {_lines(part)}" for name, part in document.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(part: Any) -> str:
    if not canonical.is_list(part) or not part:
        return _text(part)
    return "[\n" + ",\n".join(f"  {_text(element)}" for element in part) + "\n ]"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def contract_of_text(text: str | bytes) -> ContractDeclaration:
    """Return the contract of a JSON text.

    Raises:
        ArtifactError: The text is not a contract, or is unknown to this version.
        TypeMismatch: `text` is not text.
        FastfeatError: The rules are not valid.
    """
    return contract_of_document(canonical.document_of_text(text, "contract"))


@with_ieee_arithmetic
def contract_of_document(document: Any) -> ContractDeclaration:
    """Return the contract of a JSON document; raises like `contract_of_text`."""
    parts = canonical.parts_of_document(document, "contract", ("contract", FORMAT), PARTS)
    types = parts["types"]
    if not isinstance(types, dict):
        raise ArtifactError(
            "the entry 'types' of the contract must be an object with the type of each column, "
            f"got {types!r}"
        )
    try:
        nodes = canonical.nodes_from_json(parts["nodes"])
        rules = [_rule(rule, nodes) for rule in parts["rules"]]
        named = dict(rules)
        if len(named) != len(rules):
            raise ArtifactError("two rules of the contract have the same name")
        return declare_contract(named, cast("dict[str, Any]", types), parts["clock"])
    except FastfeatError:
        raise
    except (KeyError, ValueError, TypeError, IndexError, RecursionError, AttributeError) as error:
        raise ArtifactError(f"the contract is damaged: {error}") from None


def _rule(given: Any, nodes: list[Any]) -> tuple[str, Rule]:
    """Return the name of a rule, and the rule; raises ArtifactError if damaged."""
    rule = cast("dict[str, Any]", given)
    if not isinstance(given, dict) or rule.keys() != _RULE:
        raise ArtifactError(f"{given!r} is not a rule that this version knows")
    name, position, says = rule["name"], rule["node"], rule["says"]
    if not isinstance(name, str) or not isinstance(says, str):
        raise ArtifactError(f"the rule {given!r} needs text for 'name' and 'says'")
    if type(position) is not int or not 0 <= position < len(nodes):
        raise ArtifactError(f"rule {name!r} refers to a node that does not exist")
    node = nodes[position]
    is_of_table = tables_of([node])[node] is not None
    if is_of_table or is_exploded(node):
        per = "row of a lookup table" if is_of_table else "element of a list"
        raise ArtifactError(f"rule {name!r} has a value per {per}, instead of per row of the data")
    return name, Rule(Expr((node,)), rule["on_violation"], rule["at_most"])
