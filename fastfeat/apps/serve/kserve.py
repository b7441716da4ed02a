"""The Open Inference Protocol, version 2 (used by KServe and others): tensors in, one tensor out.

Each column is a tensor of shape (n_rows,) or (n_rows, 1) with the column's name. Text is BYTES. A
time is INT64 ticks since 1970, or BYTES of ISO 8601. null is missing. The features are one tensor
of shape (n_rows, n_features), FP32 or FP64 depending on the plan's dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastfeat.apps.serve.answers import matrix_of
from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.calls import json_object
from fastfeat.apps.serve.endpoint import update_in
from fastfeat.apps.serve.json_rows import check_n_rows, column_of
from fastfeat.apps.serve.json_text import as_list, as_object, write_json
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.apps.serve.service import Service
from fastfeat.errors import counted, did_you_mean
from fastfeat.io.arrow import Array, Table, pa
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.ir.dtypes import BINARY, BOOL, FLOAT32, FLOAT64, INT64, INTEGER_RANGE, UTF8, DType
from fastfeat.version import __version__

OUTPUT = "features"
_DATATYPES: Mapping[str, DType] = {
    "BOOL": BOOL,
    **{name.upper(): DType(name) for name in INTEGER_RANGE},
    "FP16": DType("float16"),
    "FP32": FLOAT32,
    "FP64": FLOAT64,
    "BYTES": UTF8,
}
_TYPES: Mapping[str, str] = {
    **{dtype.name: datatype for datatype, dtype in _DATATYPES.items()},
    **dict.fromkeys(("binary", "list"), "BYTES"),
    **dict.fromkeys(("decimal", "null"), "FP64"),
}
"""Column type name to datatype; times are INT64."""


def server_metadata() -> Handler:
    """Return the handler that describes this server."""

    async def answer(request: HttpRequest) -> Answer:
        told = {"name": "fastfeat", "version": __version__}
        return Answer(write_json({**told, "extensions": ()}))

    return answer


def model_metadata(service: Service) -> Handler:
    """Return the handler that describes the input and output tensors of a model."""

    async def answer(request: HttpRequest) -> Answer:
        served = _model(service, request.name)
        fitted = served.fitted
        inputs = [
            {
                "name": name,
                "datatype": datatype_of(dtype),
                "shape": [-1],
                "parameters": {"type": str(dtype), "late": name in served.reader.late},
            }
            for name, dtype in served.reader.columns.items()
        ]
        output = {
            "name": OUTPUT,
            "datatype": _output_type(served),
            "shape": [-1, len(fitted.feature_names)],
            "parameters": {"names": fitted.feature_names},
        }
        told = {
            "name": service.name,
            "versions": [served.artifact],
            "platform": "fastfeat",
            "inputs": inputs,
            "outputs": [output],
        }
        return Answer(write_json(told))

    return answer


def model_ready(service: Service) -> Handler:
    """Return the handler that says whether a model is ready."""

    async def answer(request: HttpRequest) -> Answer:
        _model(service, request.name)
        return Answer(write_json({"name": service.name, "ready": True}))

    return answer


def infer(service: Service) -> Handler:
    """Return the handler that computes the features of rows sent as tensors."""

    async def answer(request: HttpRequest) -> Answer:
        served = _model(service, request.name)
        asked = json_object(request)
        update = _update(asked)
        _check_outputs(asked.get("outputs"))
        rows = _rows(asked.get("inputs"), served)
        found = await service.features(rows, update=update)
        served = found.served_plan
        matrix = matrix_of(found.features.select(served.fitted.feature_names))
        datatype = _output_type(served)
        data = matrix.ravel() if datatype == "FP64" else matrix.astype(np.float32).ravel()
        told = {
            "model_name": service.name,
            "model_version": served.artifact,
            "outputs": [
                {"name": OUTPUT, "datatype": datatype, "shape": [*matrix.shape], "data": data}
            ],
        }
        if isinstance(asked.get("id"), str):
            told["id"] = asked["id"]
        return Answer(write_json(told))

    return answer


def datatype_of(dtype: DType) -> str:
    """Return the protocol's name of the type in which a column is sent, such as "INT64"."""
    return "INT64" if dtype.is_temporal else _TYPES[dtype.name]


def _model(service: Service, name: str) -> ServedPlan:
    """Return the served plan if the model's name and version are right; else raise Refusal."""
    served = service.now
    model, _, version = name.partition("/versions/")
    if model != service.name or version not in ("", served.artifact):
        told = f"this server has one model, {service.name!r}, and one version, {served.artifact}"
        raise Refusal(404, "UnknownModel", told)
    return served


def _output_type(served: ServedPlan) -> str:
    """Return "FP32" or "FP64", the type in which features are sent; 16-bit floats become FP32."""
    dtype = served.fitted.record.matrix_dtype
    return "FP32" if dtype.is_float and dtype != FLOAT64 else "FP64"


def _update(asked: Mapping[str, Any]) -> bool:
    parameters = as_object(asked.get("parameters", {}), "parameters must be an object")
    return update_in(parameters)


def _check_outputs(outputs: Any) -> None:
    if outputs is None:
        return
    told = f"outputs must be a list of objects with the name {OUTPUT!r}, the only output"
    for one in as_list(outputs, told):
        if as_object(one, told).get("name") != OUTPUT:
            raise Refusal(400, "InvalidRequest", told)


def _rows(inputs: Any, served: ServedPlan) -> Table:
    """Return input tensors as a table of rows; raise Refusal if they are invalid."""
    reader = served.reader
    arrays: dict[str, Array] = {}
    n_rows: int | None = None
    for tensor in as_list(inputs, "inputs must be a list of tensors"):
        name, dtype, values = _tensor(tensor)
        if n_rows is not None and len(values) != n_rows:
            raise Refusal(
                400,
                "InvalidRequest",
                f"the tensor {name!r} has {counted(len(values), 'row')}, but the tensors before "
                f"it have {n_rows}",
                column=name,
            )
        n_rows = len(values)
        check_n_rows(n_rows, reader.most)
        if name in arrays:
            raise Refusal(400, "InvalidRequest", f"two tensors have the name {name!r}", column=name)
        arrays[name] = _array(values, name, dtype, reader.columns.get(name))
    if not arrays or (reader.columns and not any(name in reader.columns for name in arrays)):
        near = next(filter(None, (did_you_mean(name, reader.columns) for name in arrays)), "")
        told = f"no tensor has the name of a column that the plan reads.{near}"
        raise Refusal(400, "UnknownColumn", told)
    return pa.table(arrays)


def _tensor(tensor: Any) -> tuple[str, DType, Sequence[Any]]:
    """Return the name, type and values of a JSON tensor; raise Refusal if it is invalid."""
    found = as_object(tensor, "each tensor must be an object")
    name, datatype, data = found.get("name"), found.get("datatype"), found.get("data")
    if not isinstance(name, str):
        raise Refusal(400, "InvalidRequest", "each tensor must have the name of its column")
    dtype = _DATATYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        raise Refusal(
            400,
            "InvalidRequest",
            f"the datatype of the tensor {name!r} must be one of {', '.join(_DATATYPES)}",
            column=name,
        )
    values = as_list(data, f"the data of the tensor {name!r} must be a list")
    n_rows = len(values)
    shape = found.get("shape")
    if shape == [n_rows, 1] and values and all(type(one) is list for one in values):
        if any(len(one) != 1 for one in values):
            told = f"each row of the tensor {name!r} must have one value"
            raise Refusal(400, "InvalidRequest", told, column=name)
        return name, dtype, [one[0] for one in values]
    if shape not in ([n_rows], [n_rows, 1]):
        raise Refusal(
            400,
            "InvalidRequest",
            f"the tensor {name!r} has {counted(n_rows, 'value')}: its shape must be [{n_rows}] or "
            f"[{n_rows}, 1]",
            column=name,
        )
    return name, dtype, values


def _array(
    values: Sequence[Any], name: str, dtype: DType, wanted: DType | UnsupportedType | None
) -> Array:
    """Return a tensor's values as an Arrow array, converted to the type of the plan's column."""
    if not isinstance(wanted, DType):
        return column_of(values, name, dtype)
    if dtype == UTF8 and (wanted == BINARY or wanted.is_temporal):
        return column_of(values, name, wanted)
    array = column_of(values, name, dtype)
    if dtype == INT64 and wanted.is_temporal:
        kind = arrow_type(wanted)
        return (array.cast(pa.int32()) if kind.bit_width == 32 else array).cast(kind)
    return array
