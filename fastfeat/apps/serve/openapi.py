"""The server's OpenAPI 3.1 description: its paths, and JSON schemas for the plan that it serves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.endpoint import NAMES, UPDATE, Endpoint
from fastfeat.apps.serve.json_text import write_json
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.apps.serve.service import Service
from fastfeat.calls.options import Option, type_of
from fastfeat.errors import counted
from fastfeat.ir.dtypes import INTEGER_RANGE, DType
from fastfeat.ir.parameters import REQUIRED, BoolChoice, Several
from fastfeat.version import __version__

OpenApiSchema = dict[str, Any]
_TEXT: OpenApiSchema = {"type": "string"}
_WHOLE: OpenApiSchema = {"type": "integer"}
_BOOL: OpenApiSchema = {"type": "boolean"}
_ANY_OBJECT: OpenApiSchema = {"type": "object"}
_HASH: OpenApiSchema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def document_of(service: Service, endpoints: Sequence[Endpoint]) -> Handler:
    """Return the handler that sends the OpenAPI description."""

    async def answer(request: HttpRequest) -> Answer:
        return Answer(write_json(document(service.now, endpoints, service.limits.body)))

    return answer


def document(served: ServedPlan, endpoints: Sequence[Endpoint], max_body: int) -> OpenApiSchema:
    """Return the OpenAPI description of a server that serves this plan, as a JSON object.

    `max_body` is the largest size of a body in bytes.
    """
    paths: dict[str, dict[str, OpenApiSchema]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fastfeat",
            "version": __version__,
            "description": f"Serves the features of the artifact {served.artifact}. Missing values "
            "are null. JSON has no infinities: use Arrow streams for rows and features with them. "
            f"A request has at most {counted(served.reader.most, 'row')} and "
            f"{counted(max_body, 'byte')}.",
        },
        "security": [{}, {"token": []}],
        "paths": {
            path: _with_path_parameters(path, operations) for path, operations in paths.items()
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(served),
        },
    }


def _operation(one: Endpoint) -> OpenApiSchema:
    """Return the OpenAPI description of an endpoint."""
    found: OpenApiSchema = {
        "operationId": one.operation,
        "summary": one.summary,
        "responses": {
            "200": {"description": one.summary},
            "default": {
                "description": "The request was refused",
                "content": {"application/json": {"schema": _named("Error")}},
            },
        },
    }
    answered = _content(one.answered, one.answer_type)
    if answered:
        found["responses"]["200"]["content"] = answered
    asked = _content(one.asked, one.body_type)
    if asked:
        found["requestBody"] = {"required": True, "content": asked}
    if one.query:
        found["parameters"] = [
            _query(name, row, is_body_too=one.asked is not None) for name, row in one.query.items()
        ]
    return found


def _content(name: str | None, other: str) -> OpenApiSchema:
    """Return the schemas of a body by content type; `name` is the schema of JSON."""
    of_json = {} if name is None else {"application/json": {"schema": _named(name)}}
    return {**of_json, **({other: {"schema": _TEXT}} if other else {})}


def _with_path_parameters(path: str, operations: Mapping[str, OpenApiSchema]) -> OpenApiSchema:
    """Return the operations of a path, each with the names in `{...}` as path parameters."""
    given = [
        {"name": name, "in": "path", "required": True, "schema": _TEXT}
        for name in re.findall(r"{(\w+)}", path)
    ]
    if not given:
        return dict(operations)
    return {
        method: {**operation, "parameters": [*given, *operation.get("parameters", ())]}
        for method, operation in operations.items()
    }


def _query(name: str, row: Option, *, is_body_too: bool) -> OpenApiSchema:
    """Return the description of an option in the address.

    `is_body_too` says that the endpoint takes JSON, which has the option in the body.
    """
    kind, told = type_of(row), row.about
    if is_body_too:
        told += " For Arrow streams only; in JSON it is part of the body."
    if isinstance(kind, Several):
        told += " Several are separated by commas."
    return {
        "name": name,
        "in": "query",
        "required": row.default is REQUIRED,
        "description": told,
        "schema": _BOOL if isinstance(kind, BoolChoice) else _TEXT,
    }


def _named(name: str) -> OpenApiSchema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(
    required: Mapping[str, OpenApiSchema], optional: Mapping[str, OpenApiSchema] | None = None
) -> OpenApiSchema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _list(of: OpenApiSchema) -> OpenApiSchema:
    return {"type": "array", "items": of}


def _schemas(served: ServedPlan) -> dict[str, OpenApiSchema]:
    reader = served.reader
    row: OpenApiSchema = {
        "type": "object",
        "properties": {name: value_of(dtype) for name, dtype in reader.columns.items()},
        "description": "Late columns may be absent; unknown entries are ignored.",
    }
    most = {"maxItems": reader.most}
    rows, any_rows = _list(_named("Row")) | most, _list(_ANY_OBJECT) | most
    columns = _list(_object({"name": _TEXT, "type": _TEXT, "late": _BOOL}))
    counts: OpenApiSchema = {"type": "object", "additionalProperties": _WHOLE}
    texts: OpenApiSchema = {"type": "object", "additionalProperties": _TEXT}
    tensor = _object(
        {"name": _TEXT, "datatype": _TEXT, "shape": _list(_WHOLE)},
        {"data": {"type": "array"}, "parameters": _ANY_OBJECT},
    )
    told = UPDATE["update"].about
    update = _object({}, {"update": {**_BOOL, "description": told}})
    return {
        "AnyObject": _ANY_OBJECT,
        "Row": row,
        "Rows": _object({"rows": rows}),
        "AnyRows": _object({"rows": any_rows}),
        "Outcomes": _object({"rows": any_rows}),
        "Asked": _object(
            {"rows": rows},
            {
                "update": {**_BOOL, "description": told},
                "names": {
                    **_list({"type": "string", "enum": list(served.columns)}),
                    "description": NAMES["names"].about,
                },
            },
        ),
        "Features": _object(
            {
                "artifact": _HASH,
                "names": _list(_TEXT),
                "features": _list({"type": "array"}),
                "audit": {"type": ["object", "null"]},
            }
        ),
        "Taken": _object(
            {"artifact": _HASH, "rows": _WHOLE, "audit": {"type": ["object", "null"]}}
        ),
        "RowToExplain": _object({"row": _named("Row")}),
        "Explained": _object(
            {
                "artifact": _HASH,
                "features": _list(
                    _object(
                        {
                            "name": _TEXT,
                            "value": _TEXT,
                            "formula": _TEXT,
                            "columns": texts,
                            "learnt": texts,
                            "seen": _list(
                                _object({"what": _TEXT, "n_rows": _WHOLE, "rows": _list(texts)})
                            ),
                        }
                    )
                ),
            }
        ),
        "Swapped": _object(
            {
                "artifact": _HASH,
                "was": _HASH,
                "changed": _BOOL,
                "reach": texts,
                "reach_was": texts,
                "missing": _TEXT,
                "note": _TEXT,
                "added": _list(_TEXT),
                "removed": _list(_TEXT),
            }
        ),
        "Plan": _object(
            {
                "artifact": _HASH,
                "model": _TEXT,
                "summary": _TEXT,
                "features": _list(
                    _object({"name": _TEXT, "type": _TEXT, "formula": _TEXT, "told": _TEXT})
                ),
                "names": _list(_TEXT),
                "columns": columns,
                "tables": {"type": "object", "additionalProperties": columns},
                "reach": texts,
                "row_id": {"type": ["string", "null"]},
            }
        ),
        "Status": _object(
            {
                "artifact": _HASH,
                "model": _TEXT,
                "read_only": _BOOL,
                "uptime": {"type": "number"},
                "time": {"type": "number"},
                "answers": _WHOLE,
                "errors": _WHOLE,
                "rows": counts,
                "waiting": _WHOLE,
                "events": counts,
                "seconds": _list(_WHOLE),
                "refused": _TEXT,
            }
        ),
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
        "Live": _object({"live": _BOOL}),
        "IsReady": _object({"ready": _BOOL}),
        "Ready": _object({"name": _TEXT, "ready": _BOOL}),
        "Model": _object(
            {
                "name": _TEXT,
                "versions": _list(_HASH),
                "platform": _TEXT,
                "inputs": _list(tensor),
                "outputs": _list(tensor),
            }
        ),
        "Tensors": _object(
            {"inputs": _list(tensor)},
            {"id": _TEXT, "parameters": update, "outputs": _list(_ANY_OBJECT)},
        ),
        "Inferred": _object(
            {"model_name": _TEXT, "model_version": _HASH, "outputs": _list(tensor)}, {"id": _TEXT}
        ),
        "Frame": {
            "oneOf": [
                _object(
                    {
                        "dataframe_split": _object(
                            {"columns": _list(_TEXT), "data": _list({"type": "array"})},
                            {"index": {"type": "array"}},
                        )
                    },
                    {"params": update},
                ),
                _object({"dataframe_records": rows}, {"params": update}),
            ]
        },
        "Predictions": _object({"predictions": _list(_ANY_OBJECT)}),
        "Error": _object(
            {
                "error": {
                    "type": "object",
                    "required": ["kind", "message", "row", "column", "value"],
                    "properties": {
                        "kind": _TEXT,
                        "message": _TEXT,
                        "row": {"type": ["integer", "null"]},
                        "column": {"type": ["string", "null"]},
                        "value": {"type": ["string", "number", "boolean", "null"]},
                    },
                }
            }
        ),
    }


def value_of(dtype: DType) -> OpenApiSchema:
    """Return the JSON schema of a value of a column."""
    if dtype.of is not None:
        return {"type": ["array", "null"], "items": value_of(dtype.of)}
    told = {"description": str(dtype)}
    if dtype.name in INTEGER_RANGE:
        least, most = INTEGER_RANGE[dtype.name]
        return {"type": ["integer", "null"], "minimum": least, "maximum": most, **told}
    match dtype.name:
        case "bool":
            return {"type": ["boolean", "null"], **told}
        case "timestamp":
            return {"type": ["string", "null"], **told}
        case "date32" | "date64":
            return {"type": ["string", "null"], "format": "date", **told}
        case "time" | "utf8" | "binary":
            return {"type": ["string", "null"], **told}
        case "duration":
            return {"type": ["integer", "null"], **told}
        case "null":
            return {"type": "null"}
        case _:
            return {"type": ["number", "null"], **told}
