"""Canonical JSON of nodes and values: equal plans give equal text, types included.

Every node of a plan that is read is checked, because kernels do not check: they use codes of
categories as indices into the tables of values learnt per key. So a call is accepted only if its
parameters and arguments fit the entry of its function in the registry (`SCALARS`, `STEPS` or
`AGGREGATES`), which describes the calls that operators produce.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, assert_never, cast

from fastfeat.aggregates import AGGREGATES
from fastfeat.errors import ArtifactError, TypeMismatch, counted
from fastfeat.ir.dtypes import DType
from fastfeat.ir.node import (
    GROUPS,
    GROUPS_AND_MISSING,
    TRAINING,
    Aggregate,
    Call,
    Column,
    Frame,
    Literal,
    Node,
    Params,
    TableColumn,
    postorder,
)
from fastfeat.ir.parameters import LITERAL, are_valid, is_of_type
from fastfeat.ir.scope import is_exploded, is_over
from fastfeat.plan.declare.source_columns import check_rows
from fastfeat.scalars import SCALARS
from fastfeat.scalars.categories import has_min_rows
from fastfeat.steps.registry import PARTS_OF_WINDOWS, STEPS


def dump(document: Mapping[str, Any]) -> str:
    """Return canonical JSON: sorted keys, no spaces, and non-ASCII characters not escaped."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def document_of_text(text: object, subject: str) -> Any:
    """Return the JSON document of a user's text; `subject` names it in messages, such as "plan".

    Raises:
        TypeMismatch: `text` is not text.
        ArtifactError: The text is not JSON.
    """
    if not isinstance(text, (str, bytes)):
        hint = "Pass json.dumps(...) of a dict, or read() of an open file"
        raise TypeMismatch(f"from_json takes text, got a {type(text).__name__}. {hint}")
    try:
        return json.loads(text)
    except RecursionError:
        told = "its lists and objects are nested too deeply for Python"
        raise ArtifactError(f"this is not the JSON of a {subject}: {told}") from None
    except ValueError as error:
        raise ArtifactError(f"this is not the JSON of a {subject}: {error}") from None


def parts_of_document(
    document: Any,
    subject: str,
    head: tuple[str, int],
    parts: frozenset[str],
    optional: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the entries of a document without its format number, after a check of their names.

    `head` is the key of the format number and the format number that this version reads. `parts`
    are the required names, and `optional` are further permitted ones.

    Raises:
        ArtifactError: The document has another format, lacks a part, or has an unknown one.
    """
    name, known = head
    if not isinstance(document, dict) or name not in document:
        raise ArtifactError(f"this is not the JSON of a {subject}: it has no format number")
    given = cast("dict[str, Any]", document)
    found = given[name]
    if type(found) is not int or found != known:
        raise ArtifactError(
            f"the {subject} has format {found!r}; this version reads {known}. Update fastfeat"
        )
    odd = sorted(set(given) - optional ^ parts)
    if odd:
        told = "is missing" if odd[0] in parts else "is unknown to this version of fastfeat"
        raise ArtifactError(f"the {subject} cannot be read: its entry {odd[0]!r} {told}")
    return given


def nodes_to_json(roots: Sequence[Node]) -> tuple[list[Any], dict[Node, int]]:
    """Return a list of nodes as JSON, arguments first, and the index of each node in this list."""
    position: dict[Node, int] = {}
    documents: list[Any] = []
    for node in postorder(roots):
        position[node] = len(documents)
        documents.append(_node_to_json(node, [position[argument] for argument in node.args]))
    return documents, position


def _node_to_json(node: Node, args: list[int]) -> dict[str, Any]:
    match node:
        case Column(name):
            return {"column": name}
        case TableColumn(table, name):
            return {"column": name, "table": table}
        case Literal(value):
            return {"literal": value_to_json(value)}
        case Call(function, _, params):
            return {"call": function, "args": args, "params": _params_to_json(params)}
        case Aggregate(function, _, params, frame):
            document = {"aggregate": function, "args": args, "params": _params_to_json(params)}
            return document if frame == TRAINING else {**document, "frame": _FRAME_NAMES[frame]}
        case _:
            assert_never(node)


_FRAME_NAMES: Mapping[Frame, str] = {GROUPS: "groups", GROUPS_AND_MISSING: "groups_and_missing"}
_FRAMES = {name: frame for frame, name in _FRAME_NAMES.items()}


def _params_to_json(params: Sequence[tuple[str, Any]]) -> list[Any]:
    return [[name, value_to_json(value)] for name, value in params]


def value_to_json(value: Any) -> Any:
    """Return a literal or parameter as JSON; types that JSON lacks become objects with one key."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return {"float": value.hex()}
        case tuple():
            return {"tuple": [value_to_json(part) for part in value]}  # pyright: ignore[reportUnknownVariableType]
        case DType():
            return {"dtype": [value.name, value.unit, value.tz]}
        case datetime.datetime():
            return {"datetime": value.isoformat()}
        case datetime.date():
            return {"date": value.isoformat()}
        case datetime.time():
            return {"time": value.isoformat()}
        case datetime.timedelta():
            return {"timedelta": [value.days, value.seconds, value.microseconds]}
        case _:
            raise AssertionError(f"{value!r} has no JSON form")


def value_from_json(document: Any, depth: int = 2) -> Any:
    """Return the value from a document of `value_to_json`.

    `depth` is the greatest number of levels of nested tuples; a table of pairs has two. Raises
    ArtifactError, ValueError, TypeError or OverflowError if the document is not valid.
    """
    match document:
        case bool() | int() | str() | None:
            return document
        case {"float": str(text), **rest} if not rest:
            return _float_from_json(text)
        case {"tuple": parts, **rest} if not rest and is_list(parts):
            if depth == 0:
                raise ArtifactError("a value has tuples nested three deep; at most two are valid")
            return tuple(value_from_json(part, depth - 1) for part in parts)
        case {"dtype": parts, **rest} if not rest:
            return dtype_from_json(parts)
        case {"datetime": str(text), **rest} if not rest:
            return datetime.datetime.fromisoformat(text)
        case {"date": str(text), **rest} if not rest:
            return datetime.date.fromisoformat(text)
        case {"time": str(text), **rest} if not rest:
            return datetime.time.fromisoformat(text)
        case {"timedelta": [int(days), int(seconds), int(microseconds)] as parts, **rest} if (
            not rest and not any(isinstance(part, bool) for part in parts)
        ):
            return datetime.timedelta(days, seconds, microseconds)
        case _:
            raise ArtifactError(f"{document!r} is not a value that this version knows")


def _float_from_json(text: str) -> float:
    """Return the float of a text written by `float.hex`, in full or without redundant characters.

    Other texts are rejected, since `float.fromhex` misreads them: "1e3" is hexadecimal 483. Raises
    ArtifactError, ValueError or OverflowError.
    """
    value = float.fromhex(text)
    written = value.hex()
    if text != written and _LEFT_OUT.sub("p", text) != _LEFT_OUT.sub("p", written):
        raise ArtifactError(f"the float {text!r} is not written as float.hex() writes it")
    return value


_LEFT_OUT = re.compile(r"(\.0*|(?<=[1-9a-f])0*)?p\+?")
"""Trailing zeros of a hexadecimal float, and a plus sign of its exponent."""


def dtype_from_json(parts: Any) -> DType:
    """Return the type from its name, unit and time zone; raises ArtifactError if unknown."""
    match parts:
        case ["timestamp", "s" | "ms" | "us" | "ns" as unit, str() | None as tz]:
            return DType("timestamp", unit, tz)
        case ["time" | "duration" as name, "s" | "ms" | "us" | "ns" as unit, None]:
            return DType(name, unit)
        case [str(name), None, None] if name not in ("timestamp", "time", "duration"):
            dtype = DType(name)
            if dtype.is_number or dtype.is_temporal or dtype.holds_bytes:
                return dtype
        case _:
            pass
    raise ArtifactError(f"{parts!r} is not a type that this version knows")


def is_list(document: Any) -> TypeGuard[list[Any]]:
    """Return whether a JSON document is a list."""
    return isinstance(document, list)


def nodes_from_json(documents: Any) -> list[Node]:
    """Return the nodes from a list that `nodes_to_json` made, in the same order.

    Raises:
        ArtifactError: A node is unknown to this version, or damaged.
    """
    if not is_list(documents):
        raise ArtifactError(f"the entry 'nodes' must be a list of nodes, got {documents!r}")
    nodes: list[Node] = []
    for document in documents:
        try:
            nodes.append(_node_from_json(document, nodes))
        except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
            raise ArtifactError(f"node {len(nodes)} of the plan is damaged: {error}") from None
    check_rows(nodes)
    return nodes


def _node_from_json(document: Any, nodes: Sequence[Node]) -> Node:
    match document:
        case {"column": str(name), **rest} if not rest:
            return Column(name)
        case {"column": str(name), "table": str(table), **rest} if not rest:
            return TableColumn(table, name)
        case {"literal": value, **rest} if not rest:
            return _literal(value)
        case {"call": str(function), "args": args, "params": params, **rest} if (
            not rest and is_list(args) and is_list(params)
        ):
            if function not in SCALARS and function not in STEPS:
                raise ArtifactError(f"this version has no function {function!r}. Update fastfeat")
            return _call(function, _args(args, nodes), _params(params))
        case {"aggregate": str(function), "args": args, "params": params, **rest} if (
            is_list(args) and is_list(params) and set(rest) <= {"frame"}
        ):
            if function not in AGGREGATES:
                raise ArtifactError(f"this version has no aggregate {function!r}. Update fastfeat")
            return _aggregate(function, _args(args, nodes), _params(params), rest.get("frame"))
        case _:
            raise ArtifactError(f"{document!r} is not a node that this version knows")


def _literal(document: Any) -> Literal:
    """Return a literal; raises ArtifactError unless an operator could have made it."""
    value = value_from_json(document)
    if not is_of_type(LITERAL, value):
        raise ArtifactError(f"{document!r} is not a literal that this version knows")
    return Literal(value)


def _call(function: str, args: tuple[Node, ...], params: Params) -> Call:
    """Return a call; raises ArtifactError unless an operator could have made it."""
    call = Call(function, args, params)
    check_call(call)
    return call


def _aggregate(function: str, args: tuple[Node, ...], params: Params, frame: Any) -> Aggregate:
    """Return an aggregate; raises ArtifactError unless an operator could have made it."""
    row = AGGREGATES[function]
    if not are_valid(row.parameters, params):
        raise _wrong_parameters(function, params)
    check_windows(function, args)
    if frame is None:
        if len(args) != 1 and (not row.takes_key_parts or not args):
            raise ArtifactError(f"{function!r} takes one argument, got {len(args)}")
        if "target" in row.primitives:
            raise ArtifactError(f"{function!r} is learnt per category, and no category is given")
        if not row.takes_key_parts and is_exploded(args[0]):
            raise ArtifactError(f"{function!r} learns from rows, not from elements of lists")
        return Aggregate(function, args, params, TRAINING)
    match args:
        case (_, Call("encode"), *more) if (
            frame in _FRAMES
            and not row.takes_key_parts
            and len(more) == ("target" in row.primitives)
        ):
            aggregate = Aggregate(function, args, params, _FRAMES[frame])
            check_groups(aggregate)
            return aggregate
        case _:
            raise ArtifactError(
                f"the plan is damaged: {function!r} with a key must have two inputs, the values "
                "and the codes of the key"
            )


def _args(positions: list[Any], nodes: Sequence[Node]) -> tuple[Node, ...]:
    if not all(type(k) is int and 0 <= k < len(nodes) for k in positions):
        raise ArtifactError(f"arguments {positions!r} are not the numbers of earlier nodes")
    return tuple(nodes[k] for k in cast("list[int]", positions))


def _params(pairs: list[Any]) -> Params:
    """Return the parameters of a node from pairs [name, value], which must be sorted by name."""
    params: list[tuple[str, Any]] = []
    for pair in pairs:
        match pair:
            case [str(name), value] if not params or params[-1][0] < name:
                params.append((name, value_from_json(value)))
            case _:
                raise ArtifactError(
                    f"parameters {pairs!r} are not [name, value] pairs in order of name"
                )
    return tuple(params)


def _wrong_parameters(function: str, params: Params) -> ArtifactError:
    found = ", ".join(f"{name}={value!r}" for name, value in params)
    return ArtifactError(f"{function!r} cannot take the parameters ({found})")


def check_call(call: Call) -> None:
    """Raise ArtifactError if no operator makes a call with these parameters and arguments."""
    function, args = call.function, call.args
    row = SCALARS.get(function) or STEPS[function]
    if not are_valid(row.parameters, call.params):
        raise _wrong_parameters(function, call.params)
    in_halves = function in STEPS and STEPS[function].in_halves
    is_number = row.n_args == len(args) if row.n_args is not None else row.least_args <= len(args)
    if not is_number or (in_halves and len(args) % 2):
        raise ArtifactError(f"{function!r} cannot take {counted(len(args), 'argument')}")
    if any(map(is_exploded, args)):
        raise ArtifactError(f"{function!r} takes rows, not elements of lists, as arguments")
    check_windows(function, args)
    if not row.belongs(call):
        if is_over(call):
            raise ArtifactError(f"{function!r} cannot take {call.params!r} with {args!r}")
        raise ArtifactError(f"the arguments of {function!r} do not fit together")


def check_groups(aggregate: Aggregate) -> None:
    """Raise ArtifactError if the keys or the folds of an aggregate cannot come from an operator."""
    if not _are_groups(aggregate):
        raise ArtifactError(
            f"the keys of {aggregate.function!r} are computed otherwise than by= computes them"
        )
    belongs = AGGREGATES[aggregate.function].belongs
    if belongs is not None and not belongs(aggregate):
        raise ArtifactError(
            f"the folds of {aggregate.function!r} are computed otherwise than its encoder does"
        )
    if any(map(is_exploded, aggregate.args)):
        raise ArtifactError(f"{aggregate.function!r} learns from rows, not from elements of lists")


def _are_groups(aggregate: Aggregate) -> bool:
    """Return whether an aggregate's keys are codes that leave out only keys with too few rows."""
    match aggregate.args[1]:
        case Call("encode", (*_, Aggregate("vocabulary", _, learnt))):
            least = dict(learnt)["min_frequency"]
            of_target = aggregate.frame == GROUPS_AND_MISSING
            is_told = not of_target or least == dict(aggregate.params).get("min_rows")
            return is_told and has_min_rows(learnt)
        case _:
            return False


def check_windows(function: str, args: tuple[Node, ...]) -> None:
    """Raise ArtifactError if a window is an argument where a function needs a column of values.

    Windows, and the row orders inside them, are permitted only as the last argument of functions
    over windows.
    """
    last = STEPS[function].ends_with if function in STEPS else ()
    for k, arg in enumerate(args):
        if not isinstance(arg, Call) or arg.function not in PARTS_OF_WINDOWS:
            continue
        if arg.function not in last or k != len(args) - 1:
            raise ArtifactError(f"{function!r} cannot take {arg.function!r} as an argument")
