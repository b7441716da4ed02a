"""Handlers of calls for features, events, outcomes and tables, in JSON or Arrow.

A handler is an async function from a request to an answer. An event is a row that is added to the
state of past rows; outcomes are its late columns, which are known later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastfeat.apps.serve.answers import ARROW_STREAM, arrow_bytes, rows_of
from fastfeat.apps.serve.app import Answer, Handler, HttpRequest
from fastfeat.apps.serve.arrow_rows import arrow_rows
from fastfeat.apps.serve.call_scheduler import CallResult
from fastfeat.apps.serve.endpoint import NAMES, UPDATE, update_in
from fastfeat.apps.serve.json_rows import ROWS, RowReader, row_reader
from fastfeat.apps.serve.json_text import as_list, as_object, read_json, write_json
from fastfeat.apps.serve.refusals import Refusal
from fastfeat.apps.serve.served_plan import ServedPlan
from fastfeat.apps.serve.service import Service
from fastfeat.errors import did_you_mean, shortened
from fastfeat.io.arrow import Table

_BOOLS = {"true": True, "false": False}
_OF_FEATURES = ("rows", *UPDATE, *NAMES)


def features_of(service: Service) -> Handler:
    """Return the handler that computes features of rows; if asked, it adds them to the state."""

    async def of_arrow(request: HttpRequest) -> Answer:
        asked = request.parameters
        check_known(asked, _OF_FEATURES[1:])
        update = update_in({name: _BOOLS.get(asked[name]) for name in UPDATE if name in asked})
        names = asked["names"].split(",") if "names" in asked else None
        checked_names(service.now, names)
        rows = arrow_rows(request.body, service.now.reader, service.limits.body)
        found = await service.features(rows, update=update)
        wanted = checked_names(found.served_plan, names)  # the plan may be a new one
        return _arrow_answer(found, wanted)

    async def of_json(request: HttpRequest) -> Answer:
        asked = json_object(request, " or, for rows, " + ARROW_STREAM)
        check_known(asked, _OF_FEATURES)
        update = update_in(asked)
        names, given = asked.get("names"), asked.get("rows")
        checked_names(service.now, names)
        rows = as_list(given, ROWS)
        few = None if names is not None else await service.few(rows, update=update)
        if few is not None:
            return _json_answer(few, few.features, None)
        table = service.now.reader.table(rows)
        found = await service.features(table, update=update)
        wanted = checked_names(found.served_plan, names)
        return _json_answer(found, rows_of(_select(found.features, wanted)), wanted)

    async def answer(request: HttpRequest) -> Answer:
        is_arrow = request.content_type == ARROW_STREAM
        return await (of_arrow(request) if is_arrow else of_json(request))

    return answer


def _select(features: Table, wanted: Sequence[str] | None) -> Table:
    return features if wanted is None else features.select(list(wanted))


def _arrow_answer(found: CallResult, wanted: Sequence[str] | None) -> Answer:
    headers = ((b"fastfeat-artifact", found.served_plan.artifact.encode()),)
    if found.link:
        headers += ((b"fastfeat-audit", found.link.hex().encode()),)
    content = arrow_bytes(_select(found.features, wanted))
    return Answer(content, ARROW_STREAM.encode(), headers)


def _json_answer(found: CallResult, features: Any, wanted: Sequence[str] | None) -> Answer:
    document = {
        "artifact": found.served_plan.head,
        "names": found.served_plan.names if wanted is None else list(wanted),
        "features": features,
        "audit": _audit(found),
    }
    return Answer(write_json(document))


def _audit(found: CallResult) -> Any:
    """Return a call's audit link (a hash that chains changes) for JSON; None without a link."""
    return {"link": found.link.hex()} if found.link else None


def update_of(service: Service) -> Handler:
    """Return the handler that adds events to the state without computing features."""

    async def answer(request: HttpRequest) -> Answer:
        rows = _rows(request, service, service.now.reader)
        return _update_answer(await service.call("update", rows), rows)

    return answer


def outcomes_of(service: Service) -> Handler:
    """Return the handler that adds late columns to the state, matched to rows by their id."""

    async def answer(request: HttpRequest) -> Answer:
        served = service.now
        if served.outcomes is None:
            raise Refusal(
                400,
                "InvalidPlan",
                "the plan accepts no outcomes: it has no row_id=, or no late columns",
            )
        rows = _rows(request, service, served.outcomes)
        found = await service.apart("outcomes", rows.num_rows, lambda live: live.outcomes(rows))
        return _update_answer(found, rows)

    return answer


def table_of(service: Service) -> Handler:
    """Return the handler that adds rows to the lookup table that the path names."""

    async def answer(request: HttpRequest) -> Answer:
        served = service.now
        types = served.fitted.record.tables.get(request.name)
        if types is None:
            known = served.fitted.record.tables
            there = f" Its tables: {shortened(known)}" if known else " It reads no tables"
            near = did_you_mean(request.name, known) or there
            raise Refusal(404, "UnknownTable", f"the plan reads no table with this name.{near}")
        reader = row_reader(types, (), (), served.reader.most)
        rows = _rows(request, service, reader)
        name = request.name
        found = await service.apart(
            "table", rows.num_rows, lambda live: live.update_table(name, rows)
        )
        return _update_answer(found, rows)

    return answer


def _rows(request: HttpRequest, service: Service, reader: RowReader) -> Table:
    if request.content_type == ARROW_STREAM:
        check_known(request.parameters, ())
        return arrow_rows(request.body, reader, service.limits.body)
    asked = json_object(request, " or, for rows, " + ARROW_STREAM)
    check_known(asked, ("rows",))
    return reader.table(asked.get("rows"))


def _update_answer(found: CallResult, rows: Table) -> Answer:
    told = {"artifact": found.served_plan.head, "rows": rows.num_rows, "audit": _audit(found)}
    return Answer(write_json(told))


def json_object(request: HttpRequest, others: str = "") -> Mapping[str, Any]:
    """Return the JSON object in a request's body.

    `others` lists further content types that the address accepts, for the message.

    Raises:
        Refusal: The content type is another one, or the body is not a JSON object.
    """
    if request.content_type != "application/json":
        given = request.content_type[:60] or "missing"
        raise Refusal(
            415,
            "UnsupportedMediaType",
            f"the content type is {given!r}: send application/json{others}",
        )
    return as_object(read_json(request.body), "the body is not a JSON object: see /openapi.json")


def check_known(given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise Refusal if a request has an unknown parameter."""
    for name in given:
        if name not in known:
            there = f" Parameters: {', '.join(known)}" if known else " This address has none"
            near = did_you_mean(name, known) or there
            raise Refusal(400, "InvalidRequest", f"there is no parameter {name[:60]!r}.{near}")


def checked_names(served: ServedPlan, names: Any) -> Sequence[str] | None:
    """Return the feature names that a caller asks for; None stands for all features.

    Raises:
        Refusal: It is not a list of distinct feature names.
    """
    if names is None:
        return None
    found = as_list(names, "names must be a list of feature names")
    for name in found:
        if not isinstance(name, str):
            raise Refusal(400, "InvalidRequest", "names must be a list of feature names")
        if name not in served.columns:
            near = did_you_mean(name, served.columns)
            raise Refusal(400, "UnknownFeature", f"there is no feature {name[:200]!r}.{near}")
    if not found or len(set(found)) < len(found):
        told = "names must have at least one name, and no name twice"
        raise Refusal(400, "InvalidRequest", told)
    return found
