"""The server's OpenAPI 3.1 description: its paths, and JSON schemas for the plan that it serves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastfeat.apps.serve.answers import ARROW_STREAM
from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.json_text import write_json
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.apps.serve.service import Service
from fastfeat.ir.dtypes import INTEGER_RANGE, DType
from fastfeat.version import __version__

OpenApiSchema = dict[str, Any]
_EXPLAIN = "Explanation of the features of a row"
_TEXT: OpenApiSchema = {"type": "string"}
_WHOLE: OpenApiSchema = {"type": "integer"}
_BOOL: OpenApiSchema = {"type": "boolean"}
_ANY_OBJECT: OpenApiSchema = {"type": "object"}
_HASH: OpenApiSchema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}


def document_of(service: Service) -> Handler:
    """Return the handler that sends the OpenAPI description."""

    async def answer(request: HttpRequest) -> Answer:
        return Answer(write_json(document(service.now)))

    return answer


def document(served: ServedPlan) -> OpenApiSchema:
    """Return the OpenAPI description of a server that serves this plan, as a JSON object."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fastfeat",
            "version": __version__,
            "description": f"Serves the features of the artifact {served.artifact}. Missing values "
            "are null. JSON has no infinities: use Arrow streams for rows and features with them.",
        },
        "security": [{}, {"token": []}],
        "paths": {
            path: _with_path_parameters(path, operations)
            for path, operations in _operations().items()
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(served),
        },
    }


def _operations() -> dict[str, dict[str, OpenApiSchema]]:
    """Return the OpenAPI operations of each path, by HTTP method."""
    kserve = {
        "": ("get", "Input and output tensors of a model", None, "Model"),
        "/ready": ("get", "Readiness of a model", None, "Ready"),
        "/infer": ("post", "Features of rows sent as tensors", "Tensors", "Inferred"),
    }
    names = {"": "metadata", "/ready": "ready", "/infer": "infer"}
    models = {
        f"/v2/models/{{name}}{version}{end}": {
            method: _operation(
                f"{names[end]}{'OfVersion' if version else ''}", told, asked, answered
            )
        }
        for version in ("", "/versions/{version}")
        for end, (method, told, asked, answered) in kserve.items()
    }
    features = _operation("features", "Features of rows", "Asked", "Features", arrow=True)
    features["parameters"] = [
        _query(
            "update",
            "Add the rows to the state after they are answered. For Arrow streams only; "
            "in JSON it is part of the body.",
            _BOOL,
        ),
        _query(
            "names",
            "Features to return, separated by commas. For Arrow streams only; in JSON they "
            "are part of the body.",
            _TEXT,
        ),
    ]
    features["responses"]["200"]["content"][ARROW_STREAM] = {"schema": _TEXT}
    page = _operation("page", "HTML page of the plan", None, None)
    page["responses"]["200"]["content"] = {"text/html": {"schema": _TEXT}}
    metrics = _operation("metrics", "Metrics in Prometheus text format", None, None)
    metrics["responses"]["200"]["content"] = {"text/plain": {"schema": _TEXT}}
    artifact = _operation("artifact", "Replace the served artifact", None, "Swapped")
    artifact["requestBody"] = {
        "required": True,
        "content": {"application/octet-stream": {"schema": _TEXT}},
    }
    explain = _operation("explain", _EXPLAIN, None, "Explained")
    row = {**_query("row", "The row as JSON", _TEXT), "required": True}
    explain["parameters"] = [row]
    return {
        "/": {"get": page},
        "/openapi.json": {
            "get": _operation("openapi", "This OpenAPI description", None, "AnyObject")
        },
        "/metrics": {"get": metrics},
        "/v1/features": {"post": features},
        "/v1/update": {
            "post": _operation("update", "Add events to the state", "Rows", "Taken", arrow=True)
        },
        "/v1/outcomes": {
            "post": _operation(
                "outcomes",
                "Add late columns of earlier rows to the state",
                "Outcomes",
                "Taken",
                arrow=True,
            )
        },
        "/v1/tables/{name}": {
            "post": _operation(
                "tables", "Add rows to a lookup table", "AnyRows", "Taken", arrow=True
            )
        },
        "/v1/artifact": {"post": artifact},
        "/v1/plan": {"get": _operation("plan", "The served plan", None, "Plan")},
        "/v1/explain": {
            "get": explain,
            "post": _operation("explainGiven", _EXPLAIN, "RowToExplain", "Explained"),
        },
        "/v1/status": {
            "get": _operation(
                "status", "Figures on the server: uptime, requests, rows and errors", None, "Status"
            )
        },
        "/v2": {"get": _operation("server", "Name and version of the server", None, "Server")},
        "/v2/health/live": {"get": _operation("live", "Liveness of the server", None, "Live")},
        "/v2/health/ready": {
            "get": _operation("healthReady", "Readiness of the server", None, "IsReady")
        },
        **models,
        "/invocations": {
            "post": _operation(
                "invocations", "Features of a data frame in MLflow's format", "Frame", "Predictions"
            )
        },
    }


def _operation(
    name: str, told: str, asked: str | None, answered: str | None, *, arrow: bool = False
) -> OpenApiSchema:
    """Return the OpenAPI description of one operation: a method of one path.

    `asked` and `answered` name the schemas of body and answer: None if there is no body, or the
    answer is not JSON. `arrow` says that the body may be an Arrow stream.
    """
    found: OpenApiSchema = {
        "operationId": name,
        "summary": told,
        "responses": {
            "200": {"description": told},
            "default": {
                "description": "The request was refused",
                "content": {"application/json": {"schema": _named("Error")}},
            },
        },
    }
    if answered is not None:
        found["responses"]["200"]["content"] = {"application/json": {"schema": _named(answered)}}
    if asked is not None:
        content: OpenApiSchema = {"application/json": {"schema": _named(asked)}}
        if arrow:
            content[ARROW_STREAM] = {"schema": _TEXT}
        found["requestBody"] = {"required": True, "content": content}
    return found


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


def _query(name: str, told: str, schema: OpenApiSchema) -> OpenApiSchema:
    return {"name": name, "in": "query", "required": False, "description": told, "schema": schema}


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
    rows = _list(_named("Row"))
    columns = _list(_object({"name": _TEXT, "type": _TEXT, "late": _BOOL}))
    counts: OpenApiSchema = {"type": "object", "additionalProperties": _WHOLE}
    texts: OpenApiSchema = {"type": "object", "additionalProperties": _TEXT}
    tensor = _object(
        {"name": _TEXT, "datatype": _TEXT, "shape": _list(_WHOLE)},
        {"data": {"type": "array"}, "parameters": _ANY_OBJECT},
    )
    update = _object({}, {"update": _BOOL})
    return {
        "AnyObject": _ANY_OBJECT,
        "Row": row,
        "Rows": _object({"rows": rows}),
        "AnyRows": _object({"rows": _list(_ANY_OBJECT)}),
        "Outcomes": _object({"rows": _list(_ANY_OBJECT)}),
        "Asked": _object(
            {"rows": rows},
            {"update": _BOOL, "names": _list({"type": "string", "enum": list(served.columns)})},
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
