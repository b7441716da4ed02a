"""Parameters in the JSON of a plan.

A recipe is the recorded call that made a plan, with the recorded calls that made its arguments. The
entry "params" of the document has the values of parameters, and these calls as a list of steps.
Reading does not repeat the calls; `with_params` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from fastfeat.calls.named_values import MAX_DEPTH, PLAIN, Members, Pairs, Param
from fastfeat.calls.recording import (
    Recipe,
    named_arguments,
    params_of,
    parts_of,
    recipe_of,
    recorded_function,
)
from fastfeat.errors import ArtifactError
from fastfeat.expr import Expr
from fastfeat.io.sources.schema import as_dtype
from fastfeat.ir.node import Node, postorder
from fastfeat.keep import canonical
from fastfeat.plan.declare.declaration import PLAN

ALTERED = (
    "the plan was altered, or written by a version with other operators: its record of how it was "
    "written makes another plan. Write it again"
)


def leaves_of(recipe: Recipe | None) -> list[Node]:
    """Return the nodes of the expressions in recorded calls that contain no parameter."""
    steps = postorder([recipe] if recipe else [])
    parts = (part for step in steps for part in parts_of((*step.given, *step.options.values())))
    return [node for part in parts if isinstance(part, Expr) for node in part.nodes]


def params_document(recipe: Recipe, position: Mapping[Node, int]) -> dict[str, Any]:
    """Return the values of the parameters and the recorded calls as "params" of a plan's JSON.

    `position` gives the index of each node in the document's list of nodes.
    """
    steps: dict[str, int] = {}
    documents: list[Any] = []
    step_of: dict[Recipe, int] = {}
    for step in postorder([recipe]):
        unnamed, named = named_arguments(step)
        document = {
            "call": step.function,
            "args": [_to_json(value, position, step_of) for value in unnamed],
            "named": {name: _to_json(v, position, step_of) for name, v in named.items()},
        }
        text = canonical.dump(document)
        if text not in steps:
            steps[text] = len(documents)
            documents.append(document)
        step_of[step] = steps[text]
    values = {name: _value_to_json(value) for name, value in params_of(recipe).items()}
    return {"values": values, "steps": documents}


def _to_json(given: Any, position: Mapping[Node, int], step_of: Mapping[Recipe, int]) -> Any:
    """Return an argument of a recorded call as JSON.

    An expression becomes the indices of its nodes. The result of another recorded call becomes the
    index of this call in the list of steps.
    """

    def inside(part: Any) -> Any:
        return _to_json(part, position, step_of)

    match given:
        case Recipe():
            return {"step": step_of[given]}
        case Param(name):
            return {"param": name}
        case Expr(nodes, suffixes, name):
            document = {"expr": [position[node] for node in nodes]}
            more = {"suffixes": list(suffixes)} if suffixes != ("",) else {}
            return document | more | ({} if name is None else {"alias": name})
        case Pairs(items):
            return {"pairs": [[inside(key), inside(value)] for key, value in items]}
        case Members(items):
            return {"set": sorted(map(inside, items), key=repr)}
        case tuple():
            return {"list": [inside(part) for part in cast("tuple[Any, ...]", given)]}
        case _:
            return _value_to_json(given)


def _value_to_json(value: Any) -> Any:
    match value:
        case Pairs(items):
            return {"pairs": [[_value_to_json(k), _value_to_json(v)] for k, v in items]}
        case tuple():
            return {"list": [_value_to_json(part) for part in cast("tuple[Any, ...]", value)]}
        case None:
            return None
        case _ if isinstance(value, PLAIN):
            return canonical.value_to_json(value)
        case _:  # a type of another library, which `cast` accepts
            return canonical.value_to_json(as_dtype(value))


def recipe_of_document(document: Any, nodes: Sequence[Node]) -> Recipe:
    """Return the recorded call that made a plan, from "params" of its JSON; nothing is called.

    Raises:
        ArtifactError: The document is damaged, or unknown to this version.
    """
    match document:
        case {"values": values, "steps": steps, **rest} if (
            not rest and isinstance(values, dict) and canonical.is_list(steps)
        ):
            known = {name: _argument(v, (), (), {}) for name, v in _entries(values)}
        case _:
            raise ArtifactError("the parameters of the plan are damaged")
    recipes: list[Recipe] = []
    for step in steps:
        recipes.append(_step(step, nodes, recipes, known))
    functions = [recipe.function for recipe in recipes]
    if functions.index(PLAN) != len(functions) - 1 or params_of(recipes[-1]) != known:
        raise ArtifactError(
            "the plan is damaged: its parameters differ from those of its recorded calls"
        )
    return recipes[-1]


def _entries(document: Any) -> list[tuple[str, Any]]:
    return list(document.items())


def _step(
    document: Any, nodes: Sequence[Node], recipes: Sequence[Recipe], values: Mapping[str, Any]
) -> Recipe:
    match document:
        case {"call": str(function), "args": args, "named": named, **rest} if (
            not rest and canonical.is_list(args) and isinstance(named, dict)
        ):
            try:
                recorded_function(function)
            except KeyError:
                raise ArtifactError(
                    f"this version has no function {function!r}. Update fastfeat"
                ) from None
            given = tuple(_argument(value, nodes, recipes, values) for value in args)
            options = {n: _argument(v, nodes, recipes, values) for n, v in _entries(named)}
            recipe = recipe_of(function, given, options)
            try:
                named_arguments(recipe)
            except TypeError as error:
                raise ArtifactError(f"{ALTERED} ({function}: {error})") from None
            return recipe
        case _:
            raise ArtifactError(
                f"the plan or artifact calls {document!r}, which this version of fastfeat does not "
                "know. Load it with the version that wrote it, or a newer one"
            )


def _argument(
    document: Any,
    nodes: Sequence[Node],
    recipes: Sequence[Recipe],
    values: Mapping[str, Any],
    depth: int = 0,
) -> Any:
    """Return an argument of a recorded call from its JSON.

    `depth` is the number of lists and mappings around the argument.
    """
    if depth > MAX_DEPTH:
        raise ArtifactError(
            f"a value of the plan has lists or mappings nested more than {MAX_DEPTH} deep"
        )

    def inside(part: Any) -> Any:
        return _argument(part, nodes, recipes, values, depth + 1)

    match document:
        case {"step": int(k), **rest} if not rest and 0 <= k < len(recipes):
            return recipes[k]
        case {"param": str(name), **rest} if not rest and name in values:
            return Param(name, values[name])
        case {"expr": positions, **rest} if canonical.is_list(positions):
            return _expression(positions, rest, nodes)
        case {"pairs": pairs, **rest} if not rest and canonical.is_list(pairs):
            return Pairs(tuple((inside(key), inside(value)) for key, value in pairs))
        case {"set": parts, **rest} if not rest and canonical.is_list(parts):
            return Members(tuple(map(inside, parts)))
        case {"list": parts, **rest} if not rest and canonical.is_list(parts):
            return tuple(map(inside, parts))
        case _:
            return canonical.value_from_json(document)


def _expression(positions: list[Any], more: Mapping[str, Any], nodes: Sequence[Node]) -> Expr:
    match {"suffixes": [""], "alias": None, **more}:
        case {"suffixes": [*suffixes], "alias": str() | None as alias, **rest} if (
            not rest
            and positions
            and all(type(k) is int and 0 <= k < len(nodes) for k in positions)
            and len(suffixes) == len(positions)
            and all(isinstance(suffix, str) for suffix in suffixes)
        ):
            chosen = tuple(nodes[k] for k in cast("list[int]", positions))
            return Expr(chosen, tuple(map(str, suffixes)), alias)
        case _:
            raise ArtifactError(
                f"the plan is damaged: {positions!r}, {more!r} is not an expression"
            )


def with_recipes(expressions: Mapping[str, Expr], given: Any) -> dict[str, Expr]:
    """Return expressions, each with the recorded call that made it.

    `given` is the features or label in the plan's recipe: a mapping, or a list in the same order.

    Raises:
        ArtifactError: The recipe has another number of expressions.
    """
    written = tuple(parts_of((given,)))
    if isinstance(given, Pairs):
        written = tuple(value for _, value in given.items)
    if len(written) != len(expressions):
        raise ArtifactError(
            f"the plan is damaged: it has {len(expressions)} expressions, but its recorded call "
            f"has {len(written)}"
        )
    return {
        name: replace(expression, recipe=how if isinstance(how, Recipe) else None)
        for (name, expression), how in zip(expressions.items(), written, strict=True)
    }
