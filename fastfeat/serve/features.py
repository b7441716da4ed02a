"""The server's own calls: features, events, outcomes, tables, in JSON or as an Arrow stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastfeat.errors import did_you_mean
from fastfeat.io.arrow import Table
from fastfeat.serve.answers import ARROW_STREAM, arrow_bytes, chosen, rows_of
from fastfeat.serve.app import Answer, Handler, Request
from fastfeat.serve.arrow_rows import arrow_rows
from fastfeat.serve.json_text import read_json, write_json
from fastfeat.serve.refusals import Refusal
from fastfeat.serve.serving import Serving

_ASKED = ("rows", "update", "names")
_BOOLS = {"true": True, "false": False}


def features_handler(serving: Serving, most_bytes: int) -> Handler:
    """Return what answers the features of rows, and puts them into the state where asked to."""

    async def answer(request: Request) -> Answer:
        served = serving.now
        if request.content_type == ARROW_STREAM:
            asked = request.parameters
            check_known(asked, ("update", "names"))
            update = _BOOLS.get(asked.get("update", "false"))
            names = asked["names"].split(",") if "names" in asked else None
            rows = arrow_rows(request.body, served.reader, most_bytes)
        else:
            asked = json_object(request)
            check_known(asked, _ASKED)
            update = asked.get("update", False)
            names = asked.get("names")
            rows = served.reader.table(asked.get("rows"))
        if not isinstance(update, bool):
            raise Refusal(400, "InvalidRequest", "update is true or false")
        wanted = served.checked_names(names)
        found = await serving.call("process" if update else "features", rows)
        assert found is not None
        features = chosen(found, wanted)
        if request.content_type == ARROW_STREAM:
            headers = ((b"fastfeat-artifact", served.artifact.encode()),)
            return Answer(arrow_bytes(features), ARROW_STREAM.encode(), headers)
        document = {
            "artifact": served.head,
            "names": served.names if wanted is None else features.column_names,
            "features": rows_of(features),
            "audit": None,
        }
        return Answer(write_json(document))

    return answer


def json_object(request: Request) -> Mapping[str, Any]:
    """Return the object that a request has as its body.

    Raises:
        Refusal: it is of another type, or no object.
    """
    if request.content_type != "application/json":
        raise Refusal(
            415,
            "UnsupportedMediaType",
            f"the content type is {request.content_type[:60] or 'missing'!r}. Send application/json"
            f", or {ARROW_STREAM} where rows are asked for",
        )
    found = read_json(request.body)
    if not isinstance(found, dict):
        raise Refusal(400, "InvalidRequest", "the body is no JSON object")
    return found  # pyright: ignore[reportUnknownVariableType]


def check_known(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise where a request has a parameter that is not known.

    Raises:
        Refusal: it has.
    """
    for name in given:
        if name not in known:
            near = did_you_mean(name, known) or f" There are: {', '.join(known)}"
            raise Refusal(400, "InvalidRequest", f"there is no parameter {name[:60]!r}.{near}")
