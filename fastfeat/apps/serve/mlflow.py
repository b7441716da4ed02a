"""MLflow's scoring protocol: a JSON data frame (split or records) in, records out."""

from __future__ import annotations

from typing import Any

from fastfeat.apps.serve.answers import values_of
from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.calls import check_known, json_object
from fastfeat.apps.serve.endpoint import UPDATE, update_in
from fastfeat.apps.serve.json_rows import RowReader
from fastfeat.apps.serve.json_text import as_list, as_object, write_json
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.service import Service
from fastfeat.errors import counted
from fastfeat.io.arrow import Table

_FORMS = ("dataframe_split", "dataframe_records")


def invocations(service: Service) -> Handler:
    """Return the handler that computes the features of a data frame, one record per row."""

    async def answer(request: HttpRequest) -> Answer:
        asked = json_object(request)
        check_known(asked, (*_FORMS, "params"))
        given = [form for form in _FORMS if form in asked]
        if len(given) != 1:
            told = f"the body must have either {' or '.join(_FORMS)}"
            raise Refusal(400, "InvalidRequest", told)
        reader = service.now.reader
        if given == ["dataframe_split"]:
            rows = _split(asked["dataframe_split"], reader)
        else:
            rows = reader.table(asked["dataframe_records"])
        found = await service.features(rows, update=_update(asked.get("params", {})))
        features: Table = found.features
        lists = [values_of(name, features.column(name)) for name in features.column_names]
        names = features.column_names
        records = [dict(zip(names, row, strict=True)) for row in zip(*lists, strict=True)]
        return Answer(write_json({"predictions": records}))

    return answer


def _update(params: Any) -> bool:
    found = as_object(params, "params must be an object")
    check_known(found, tuple(UPDATE))
    return update_in(found)


def _split(given: Any, reader: RowReader) -> Table:
    """Return the rows of a data frame in MLflow's "split" form: column names, and lists of values.

    Raises:
        Refusal: The frame is malformed, or a row's length differs from the number of columns.
    """
    found = as_object(given, "dataframe_split must be an object with columns and data")
    check_known(found, ("columns", "index", "data"))
    columns = as_list(found.get("columns"), "columns must be a list of names")
    rows = as_list(found.get("data"), "data must be a list of rows")
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise Refusal(400, "InvalidRequest", "columns must be a list of distinct names")
    for k, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):  # pyright: ignore[reportUnknownArgumentType]
            told = f"row {k} must be a list of {counted(len(columns), 'value')}, one per column"
            raise Refusal(400, "InvalidRequest", told, row=k)
    values = {name: [row[k] for row in rows] for k, name in enumerate(columns)}
    return reader.of_columns(values, len(rows))
