"""OpenLineage: events that tell data catalogues which columns each feature comes from.

Events use the classes of the official client, and any of its transports sends them. A column that a
feature is computed from in the same row is a direct source. Values from earlier rows, from a lookup
by key, or from fit are indirect sources.

    from openlineage.client import OpenLineageClient
    from fastfeat.integrations import openlineage

    of = {"trained_on": "demo/train.parquet", "job": "flights"}
    with openlineage.run(fitted, "demo/test.parquet", "features.parquet", client, **of):
        fitted.transform_to("demo/test.parquet", "features.parquet")
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from fastfeat_kernels.records import dataclass

from fastfeat.api.plan import FittedPlan
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import InvalidPlan, TypeMismatch, did_you_mean
from fastfeat.execute.guard import row_inputs
from fastfeat.integrations.library import library
from fastfeat.integrations.library_data import check_fitted
from fastfeat.ir.show import show_columns
from fastfeat.tell.lineage import ColumnSource, ColumnUse, lineage
from fastfeat.trust.quality.report import CheckReport, RuleResult
from fastfeat.version import __version__

__all__ = ["run", "run_event"]

_events = library("openlineage.client.event_v2", "openlineage")
_facets = library("openlineage.client.facet_v2", "openlineage")
_utils = library("openlineage.client.uuid", "openlineage")

RunEventState = Literal["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]
DatasetAddress = str | os.PathLike[str] | tuple[str, str]
"""A path, an address, or the namespace and the name that a catalogue uses."""

TRANSFORMATIONS: Mapping[ColumnUse, tuple[str, str, str]] = {
    "itself": ("DIRECT", "IDENTITY", ""),
    "computed": ("DIRECT", "TRANSFORMATION", ""),
    "past": ("INDIRECT", "WINDOW", "other rows of the same entity"),
    "group": ("INDIRECT", "GROUP_BY", "the group of the row"),
    "join": ("INDIRECT", "JOIN", "the matching row of a table"),
    "learnt": ("INDIRECT", "AGGREGATION", "learnt in fit"),
}
"""Type, subtype and description of the transformation for each way from a column to a feature.

Source: https://openlineage.io/docs/spec/facets/dataset-facets/column_lineage_facet.
"""

_PRODUCER = f"urn:fastfeat:{__version__}"
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class _Read:
    """The namespace and name of each data set that features are computed from.

    Args:
        data: The rows.
        trained_on: The training rows.
        history: The earlier rows; None if there are none.
        tables: The lookup tables, by their name in the plan.
    """

    data: tuple[str, str]
    trained_on: tuple[str, str]
    history: tuple[str, str] | None
    tables: Mapping[str, tuple[str, str]]


@with_argument_errors_as("openlineage.", {})
def run_event(
    fitted: FittedPlan,
    data: DatasetAddress,
    output: DatasetAddress,
    *,
    trained_on: DatasetAddress,
    history: DatasetAddress | None = None,
    tables: Mapping[str, DatasetAddress] | None = None,
    job: str = "fastfeat",
    namespace: str = "default",
    state: RunEventState = "COMPLETE",
    run_id: str | None = None,
    time: datetime | None = None,
    check: CheckReport | None = None,
    error: BaseException | None = None,
) -> Any:
    """Return an event for a run that computes features, with inputs, outputs and column lineage.

    Args:
        fitted: The fitted plan.
        data: The location of the rows: a path, an address, or (namespace, name).
        output: The location of the features.
        trained_on: The location of the training rows.
        history: The location of earlier rows that windows see in addition to `data`; None if there
            are none.
        tables: The locations of lookup tables by name. Tables that are not listed get the plan as
            their namespace.
        job: The name of the job.
        namespace: The namespace of the job.
        state: The state of the run.
        run_id: A UUID, the same in all events of a run. None creates a new one.
        time: The time of the event, with a time zone. None means now.
        check: A report of `fitted.check(data)`: its rules become assertions about the data.
        error: The reason why a run failed.

    Returns:
        An `openlineage.client.event_v2.RunEvent`, for `OpenLineageClient.emit`.

    Raises:
        InvalidPlan: An unknown state, a time without a zone, or an id that is not a UUID.
        TypeMismatch: `fitted` is not a fitted plan, or a location has another form.
    """
    check_fitted(fitted)
    if state not in get_args(RunEventState):
        hint = did_you_mean(str(state), get_args(RunEventState))
        raise InvalidPlan(
            f"state={state!r}: must be one of {', '.join(get_args(RunEventState))}.{hint}"
        )
    at = datetime.now(UTC) if time is None else time
    if at.tzinfo is None:
        raise InvalidPlan(
            f"time={at.isoformat()!r}: has no time zone. Pass a time with one: datetime.now(UTC)"
        )
    named = {name: _named(f"tables[{name!r}]", of) for name, of in (tables or {}).items()}
    of_plan = {table: (f"fastfeat:{job}", table) for table in fitted.record.tables}
    read = _Read(
        _named("data", data),
        _named("trained_on", trained_on),
        None if history is None else _named("history", history),
        {**of_plan, **named},
    )
    of_job = _facets.job_type_job.JobTypeJobFacet
    kind = {"processingType": "BATCH", "integration": "FASTFEAT", "jobType": "TRANSFORM"}
    return _events.RunEvent(
        eventType=_events.RunState(state),
        eventTime=at.isoformat(),
        run=_run(run_id, error),
        job=_events.Job(namespace=namespace, name=job, facets={"jobType": _of(of_job, **kind)}),
        inputs=_inputs(fitted, read, check),
        outputs=[_output(fitted, _named("output", output), read)],
        producer=_PRODUCER,
    )


@contextmanager
def run(
    fitted: FittedPlan,
    data: DatasetAddress,
    output: DatasetAddress,
    client: Any,
    **of_event: Any,
) -> Generator[str]:
    """Send the start and the end of a run, or its failure, and yield the run's id in between.

    Args:
        fitted: The fitted plan.
        data: The location of the rows: a path, an address, or (namespace, name).
        output: The location of the features.
        client: An `openlineage.client.OpenLineageClient`, or another object with its `emit` method.
        of_event: Further arguments of `run_event`, such as `trained_on` and `job`; not `state` or
            `error`.

    Raises:
        InvalidPlan: A time without a zone, or an id that is not a UUID.
        TypeMismatch: `fitted` is not a fitted plan, or a location has another form.
    """
    run_id = str(of_event.pop("run_id", None) or _utils.generate_new_uuid())
    told: dict[str, Any] = {**of_event, "run_id": run_id}
    client.emit(run_event(fitted, data, output, state="START", **told))
    try:
        yield run_id
    except BaseException as error:
        client.emit(run_event(fitted, data, output, state="FAIL", error=error, **told))
        raise
    client.emit(run_event(fitted, data, output, **told))


def _named(option: str, given: object) -> tuple[str, str]:
    """Return the namespace and the name of the data set at a location.

    Source: https://openlineage.io/docs/spec/naming.

    Raises:
        TypeMismatch: The location has another form.
    """
    match given:
        case (str(namespace), str(name)):
            return namespace, name
        case str() | os.PathLike():
            text = os.fspath(cast("str | os.PathLike[str]", given))
        case _:
            raise TypeMismatch(
                f"{option}= takes a path, an address, or (namespace, name), got {given!r:.60}"
            )
    address = urlsplit(text)
    if "://" not in text or address.scheme == "file":
        return "file", str(Path(address.path if "://" in text else text).absolute())
    return f"{address.scheme}://{address.netloc}", address.path.lstrip("/") or "/"


def _run(run_id: str | None, error: BaseException | None) -> Any:
    """Return OpenLineage's record of a run, with its id, fastfeat as its engine, and an error.

    Raises:
        InvalidPlan: The id is not a UUID.
    """
    of_engine = _facets.processing_engine_run.ProcessingEngineRunFacet
    facets = {"processing_engine": _of(of_engine, version=__version__, name="fastfeat")}
    if error is not None:
        of_error = _facets.error_message_run.ErrorMessageRunFacet
        told = f"{type(error).__name__}: {error}"
        facets["errorMessage"] = _of(of_error, message=told, programmingLanguage="python")
    try:
        return _events.Run(runId=run_id or str(_utils.generate_new_uuid()), facets=facets)
    except ValueError:
        raise InvalidPlan(f"run_id={run_id!r}: must be a UUID, or None for a new one") from None


def _inputs(fitted: FittedPlan, read: _Read, check: CheckReport | None) -> list[Any]:
    """Return the input data sets of the event, each once, beginning with the rows."""
    columns = {name: str(dtype) for name, dtype in row_inputs(fitted.record).items()}
    given: dict[tuple[str, str], Mapping[str, str]] = {read.data: columns}
    if read.history is not None:
        given.setdefault(read.history, columns)
    given.setdefault(read.trained_on, columns)
    for table, types in fitted.record.tables.items():
        given.setdefault(read.tables[table], {name: str(dtype) for name, dtype in types.items()})
    facets = {} if check is None else {"dataQualityAssertions": _assertions(check)}
    return [
        _events.InputDataset(
            namespace=namespace,
            name=name,
            facets={"schema": _schema([(column, of, None) for column, of in types.items()])},
            inputFacets=facets if (namespace, name) == read.data else {},
        )
        for (namespace, name), types in given.items()
    ]


def _output(fitted: FittedPlan, named: tuple[str, str], read: _Read) -> Any:
    """Return the output data set of the event: features with types, formulas and source columns."""
    record = fitted.record
    told: list[tuple[str, str | None, str | None]] = []
    types = {field.name: str(field.type) for field in fitted.schema}
    for name, node in record.nodes.items():
        told.append((name, types[name], show_columns([node])[:_LONGEST]))
    told += [(name, None, "kept as it is") for name in fitted.plan.keep]
    of_lineage = _facets.column_lineage_dataset
    fields = {
        name: of_lineage.Fields(inputFields=[one for each in of for one in _fields(each, read)])
        for name, of in lineage(record.nodes).items()
    }
    for name in fitted.plan.keep:
        kept = ColumnSource(None, name, ("itself",))
        fields[name] = of_lineage.Fields(inputFields=_fields(kept, read))
    facets = {
        "schema": _schema(told),
        "columnLineage": _of(of_lineage.ColumnLineageDatasetFacet, fields=fields),
    }
    return _events.OutputDataset(namespace=named[0], name=named[1], facets=facets)


def _fields(source: ColumnSource, read: _Read) -> list[Any]:
    """Return the lineage entries of a source column, one for each data set that it is read from."""
    found: dict[tuple[str, str], list[Any]] = {}
    for way in source.ways:
        for dataset in _datasets(source, way, read):
            kind, subtype, told = TRANSFORMATIONS[way]
            of = _facets.column_lineage_dataset.Transformation(
                type=kind, subtype=subtype, description=told, masking=False
            )
            found.setdefault(dataset, []).append(of)
    return [
        _facets.column_lineage_dataset.InputField(
            namespace=namespace, name=name, field=source.column, transformations=transformations
        )
        for (namespace, name), transformations in found.items()
    ]


def _datasets(source: ColumnSource, way: ColumnUse, read: _Read) -> Sequence[tuple[str, str]]:
    if source.table is not None:
        return [read.tables[source.table]]
    if way == "learnt":
        return [read.trained_on]
    if way == "past" and read.history is not None:
        return [read.data, read.history]
    return [read.data]


def _schema(columns: Sequence[tuple[str, str | None, str | None]]) -> Any:
    of_column = _facets.schema_dataset.SchemaDatasetFacetFields
    fields = [
        of_column(name=name, type=dtype, description=told, ordinal_position=place)
        for place, (name, dtype, told) in enumerate(columns, 1)
    ]
    return _of(_facets.schema_dataset.SchemaDatasetFacet, fields=fields)


def _assertions(check: CheckReport) -> Any:
    """Return the checked rules of a contract as OpenLineage's assertions about the data."""
    of_rules = _facets.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet
    made = [_assertion(of) for of in check.results if of.outcome != "skipped"]
    return _of(of_rules, assertions=made)


def _of(facet: Any, **fields: Any) -> Any:
    """Return an OpenLineage facet (a part of an event) with fastfeat as its producer."""
    return facet(**fields, producer=_PRODUCER)


def _assertion(of: RuleResult) -> Any:
    return _facets.data_quality_assertions_dataset.Assertion(
        assertion="rule",
        success=not of.is_finding,
        severity="warn" if of.on_violation == "warn" else "error",
        name=of.name,
        description=of.told(),
        expected="0",
        actual=str(of.n_broken),
        content=of.text,
        contentType="expression",
    )
