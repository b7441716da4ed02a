"""The JSON schema of plans, for editors and language models that write plans.

It is generated from the registries of functions: their names, numbers of arguments, and the types,
bounds and permitted strings of their parameters. `Plan.from_json` also rejects errors that a schema
cannot express: arguments listed after the node that uses them, arguments that do not fit each
other, and leakage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from fastfeat.aggregates import AGGREGATES
from fastfeat.aggregates.function import AggregateFunction
from fastfeat.calls.arguments import with_argument_errors
from fastfeat.ir.dtypes import FLOAT_FORMATS, PLAIN_TYPES, UNITS
from fastfeat.ir.parameters import (
    LITERAL,
    REQUIRED,
    BoolChoice,
    ConstantValue,
    Either,
    FreeText,
    Parameter,
    Parameters,
    ParameterType,
    Real,
    Several,
    TextChoice,
    TypeName,
    ValuePair,
    Whole,
)
from fastfeat.keep.canonical import value_to_json
from fastfeat.keep.document import FORMAT, PARTS
from fastfeat.keep.float_patterns import ANY_FLOAT, floats_between
from fastfeat.scalars import SCALARS
from fastfeat.scalars.value import ScalarFunction
from fastfeat.steps.registry import STEPS
from fastfeat.steps.step import StepFunction

JsonSchema = dict[str, Any]
_NAME: JsonSchema = {"type": "string"}
_NAMES: JsonSchema = {"type": "array", "items": _NAME}
_POSITION: JsonSchema = {
    "type": "integer",
    "minimum": 0,
    "description": "the index of a node in `nodes`, from 0",
}


@with_argument_errors
def plan_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of plans in the form of `Plan.to_json`.

    It describes every function with its number of arguments, and with the types, bounds and
    permitted strings of its parameters. A document may match the schema and still not be a valid
    plan; `Plan.from_json` then raises an error with the reason.

    Returns:
        The schema as a dict, which `json.dumps` accepts.

    Example:
        >>> schema = ff.plan_schema()
        >>> schema["$schema"], schema["properties"]["format"]
        ('https://json-schema.org/draft/2020-12/schema', {'const': 1})
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A plan of fastfeat",
        "description": (
            "`nodes` are columns, literals, calls of row functions, and aggregates that fit "
            "learns. Arguments are indexes in `nodes`, smaller than the index of the node that "
            "uses them. `features` are [name, [indexes], [suffixes of the column names]]."
        ),
        **_record(
            {
                "format": {"const": FORMAT},
                "nodes": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "features": {"$ref": "#/$defs/expressions"},
                "label": _any_of([{"type": ["string", "null"]}, {"$ref": "#/$defs/expressions"}]),
                "outcomes": _any_of([_NAMES, _mapping({"$ref": "#/$defs/delay"})]),
                "dtype": {"enum": [None, *FLOAT_FORMATS]},
                "keep": _NAMES,
                "label_delay": {"$ref": "#/$defs/delay"},
                "known": _NAMES,
                "known_tables": _mapping(_NAMES),
                "known_clocks": _NAMES,
                "label_column": _NAME,
                "row_id": _NAME,
                "codes": {"enum": ["smallest"]},
                "params": {
                    "type": "object",
                    "description": "calls that an earlier version recorded; kept, but not used",
                },
            },
            required=sorted(PARTS),
        ),
        "$defs": _definitions(),
    }


def _definitions() -> JsonSchema:
    calls = {name: _call(name, row) for name, row in {**STEPS, **SCALARS}.items()}
    aggregates = {name: _aggregate(row) for name, row in AGGREGATES.items()}
    return {
        "expressions": {
            "type": "array",
            "items": _tuple(
                [
                    _NAME,
                    {"type": "array", "items": _POSITION, "minItems": 1},
                    {"type": "array", "items": _NAME, "minItems": 1},
                ]
            ),
        },
        "delay": _any_of(
            [
                {"type": ["string", "null"], "description": "a duration, such as 30d"},
                {"type": "integer", "minimum": 0},
                {**_mapping({"type": ["string", "integer"]}), "minProperties": 1},
            ]
        ),
        "float": _tagged("float", {"type": "string", "pattern": ANY_FLOAT}),
        "constant": _any_of([{"type": ["boolean", "integer", "string"]}, *_tagged_constants()]),
        "literal": schema_of(LITERAL),
        "dtype": _dtype(),
        "node": {
            "type": "object",
            "anyOf": [{"required": [kind]} for kind in ("column", "literal", "call", "aggregate")],
            "dependentSchemas": {
                "column": _record({"column": _NAME, "table": _NAME}, required=["column"]),
                "literal": _record({"literal": {"$ref": "#/$defs/literal"}}),
                "call": _of_functions("call", calls),
                "aggregate": _of_functions("aggregate", aggregates),
            },
        },
    }


def _of_functions(kind: str, rows: Mapping[str, JsonSchema]) -> JsonSchema:
    """Return the schema of all nodes of a kind, "call" or "aggregate".

    `rows` has the schema of each function by name. Functions with equal schemas share one entry.
    """
    alike: list[tuple[list[str], JsonSchema]] = []
    for name, schema in sorted(rows.items()):
        names = next((names for names, other in alike if other == schema), None)
        if names is None:
            alike.append(([name], schema))
        else:
            names.append(name)
    return {
        "properties": {kind: {"enum": sorted(rows)}},
        "allOf": [
            {"if": {"properties": {kind: {"enum": names}}}, "then": schema}
            for names, schema in alike
        ],
    }


def _call(name: str, row: ScalarFunction | StepFunction) -> JsonSchema:
    least = row.least_args if row.n_args is None else row.n_args
    return _record(
        {"call": _NAME, "args": _places(least, row.n_args), "params": _params(row.parameters)}
    )


def _aggregate(row: AggregateFunction) -> JsonSchema:
    """Return the schema of an aggregate function, over all training rows or per group of a key."""
    common = {"aggregate": _NAME, "params": _params(row.parameters)}
    is_target = "target" in row.primitives
    of_rows = _record({**common, "args": _places(1, None if row.takes_key_parts else 1)})
    n_args = 3 if is_target else 2
    frames: JsonSchema = {"enum": ["groups", "groups_and_missing"]}
    of_groups = _record({**common, "args": _places(n_args, n_args), "frame": frames})
    if is_target:
        return of_groups
    return of_rows if row.takes_key_parts else _any_of([of_rows, of_groups])


def _places(least: int, most: int | None) -> JsonSchema:
    length = {"minItems": least, **({} if most is None else {"maxItems": most})}
    return {"type": "array", "items": _POSITION, **length}


def _params(parameters: Parameters) -> JsonSchema:
    """Return the schema of a node's parameters: a list of pairs [name, value], sorted by name."""
    ordered = sorted(parameters, key=lambda parameter: parameter.name)
    choices = product(*([True, False] if one.is_optional else [True] for one in ordered))
    return _any_of(
        [
            _tuple([_entry(one) for one, is_there in zip(ordered, chosen, strict=True) if is_there])
            for chosen in choices
        ]
    )


def _entry(parameter: Parameter) -> JsonSchema:
    value = schema_of(parameter.type)
    if parameter.or_none:
        value = _any_of([value, {"type": "null"}])
    default = {} if parameter.default is REQUIRED else {"default": value_to_json(parameter.default)}
    about = {"description": parameter.about} if parameter.about else {}
    return _tuple([{"const": parameter.name}, {**value, **about, **default}])


def schema_of(kind: ParameterType) -> JsonSchema:
    """Return the schema of the values of a parameter type, in the JSON form of a plan."""
    match kind:
        case Whole(least, most):
            return {"type": "integer", **_bounds(least, most)}
        case Real():
            found = _tagged("float", {"type": "string", "pattern": floats_between(kind)})
            if not kind.or_whole:
                return found
            bounds = [math.ceil(x) if math.isfinite(x) else None for x in (kind.least, kind.most)]
            return _any_of([found, {"type": "integer", **_bounds(*bounds)}])
        case TextChoice(words):
            return {"enum": list(words)}
        case BoolChoice(values):
            return {"type": "boolean"} if len(values) == 2 else {"const": values[0]}
        case FreeText(may_be_empty):
            return {"type": "string", **({} if may_be_empty else {"minLength": 1})}
        case TypeName():
            return {"$ref": "#/$defs/dtype"}
        case ConstantValue(may_miss):
            constant: JsonSchema = {"$ref": "#/$defs/constant"}
            missing = [{"type": "null"}, {"const": value_to_json(math.nan)}]
            return _any_of([constant, *missing]) if may_miss else constant
        case Several(of, least, most):
            length = {"minItems": least, **({} if most is None else {"maxItems": most})}
            return _tagged("tuple", {"type": "array", "items": schema_of(of), **length})
        case ValuePair(first, second):
            return _tagged("tuple", _tuple([schema_of(first), schema_of(second)]))
        case Either(types):
            return _any_of([schema_of(one) for one in types])


def _bounds(least: int | None, most: int | None) -> JsonSchema:
    ends = {"minimum": least, "maximum": most}
    return {name: end for name, end in ends.items() if end is not None}


def _tagged_constants() -> list[JsonSchema]:
    """Return the schemas of constants that are tagged objects in JSON, such as dates."""
    moments = ("date", "datetime", "time")
    length = _tuple([{"type": "integer"}] * 3)
    return [
        {"$ref": "#/$defs/float"},
        *(_tagged(name, {"type": "string"}) for name in moments),
        _tagged("timedelta", length),
    ]


def _dtype() -> JsonSchema:
    """Return the schema of a type: its name, unit and time zone."""
    unit: JsonSchema = {"enum": list(UNITS)}
    none: JsonSchema = {"type": "null"}
    return _tagged(
        "dtype",
        _any_of(
            [
                _tuple([{"const": "timestamp"}, unit, {"type": ["string", "null"]}]),
                _tuple([{"enum": ["time", "duration"]}, unit, none]),
                _tuple([{"enum": list(PLAIN_TYPES)}, none, none]),
            ]
        ),
    )


def _any_of(schemas: Sequence[JsonSchema]) -> JsonSchema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


def _tagged(tag: str, value: JsonSchema) -> JsonSchema:
    """Return the schema of an object with one key, `tag`, and a value of the schema `value`."""
    return _record({tag: value})


def _record(properties: JsonSchema, required: Iterable[str] | None = None) -> JsonSchema:
    """Return the schema of an object with these properties; `required` defaults to all."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties if required is None else required),
        "additionalProperties": False,
    }


def _mapping(value: JsonSchema) -> JsonSchema:
    return {"type": "object", "additionalProperties": value}


def _tuple(items: Sequence[JsonSchema]) -> JsonSchema:
    """Return the schema of a list of fixed length, with a schema per element."""
    fixed = {"prefixItems": list(items)} if items else {}
    return {"type": "array", **fixed, "items": False, "minItems": len(items)}
