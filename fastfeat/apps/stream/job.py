"""The job of a stream: the fitted plans and message decoders that all partitions share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

from fastfeat_kernels.records import dataclass

from fastfeat.api.online import online
from fastfeat.api.plan import FittedPlan, fitted_records, load
from fastfeat.apps.stream.config import Config, Topic
from fastfeat.apps.stream.json_features import check_json
from fastfeat.apps.stream.messages import Decode, decoder
from fastfeat.apps.stream.packed import check_packed
from fastfeat.errors import InvalidConfig
from fastfeat.execute.guard import row_inputs
from fastfeat.io.arrow import Table, pa
from fastfeat.io.columns.types import UnsupportedType, arrow_type
from fastfeat.io.sources.read import read_table
from fastfeat.ir.dtypes import UTF8, DType, TimeUnit, timestamp
from fastfeat.live.live import Live
from fastfeat.live.max_ahead import resolve_max_ahead
from fastfeat.live.state.table_updates import table_types
from fastfeat.trust.quality.golden.golden_rows import check_golden_if_any
from fastfeat.trust.quality.later_rows import profile_to_compare

_NAMES = {
    "string": UTF8,
    **{name: DType(name) for name in ("int32", "int64", "float64", "bool", "date32")},
    "timestamp": timestamp("us", "UTC"),
}
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:,\s*([^\]\s]+))?\]")


@dataclass(frozen=True, slots=True)
class StreamJob:
    """The parts of a stream that all partitions share.

    Args:
        config: Configuration of the stream.
        plans: Name to fitted plan.
        artifact: Digest of the plan files, in hexadecimal.
        events: Function that decodes event messages to rows.
        outcomes: Function that decodes outcome messages; None without outcomes.
        tables: Function that decodes rows of a lookup table, by table name, if it has a topic.
    """

    config: Config
    plans: Mapping[str, FittedPlan]
    artifact: str
    events: Decode
    outcomes: Decode | None
    tables: Mapping[str, Decode]

    def state_path(self, partition: int) -> Path:
        """Return the path of the state file for this partition of the events."""
        return self.config.state / f"{self.config.events.topic}-{partition}.state"

    def open(self, partition: int) -> Live:
        """Return the live plans of a partition, with the state in its file or with a new one."""
        config, path = self.config, self.state_path(partition)
        is_new = not path.exists()
        if config.drift_s is not None:  # before a file is opened
            for plan in self.plans.values():
                profile_to_compare(plan.record)
        live = online(
            self.plans,
            self._history(partition) if is_new else None,
            path=path,
            tables=self._tables() if is_new else None,
            late="error" if config.late == "dead_letter" else config.late,
            keep=config.keep,
            max_ahead=self._max_ahead() if is_new else config.max_ahead,
            max_jump=config.max_jump,
            durability="checkpoint",
            archive=config.archive,
            keep_audit=config.keep_audit,
        )
        if config.drift_s is not None:
            live.watch(timedelta(seconds=config.drift_s))
        return live

    def _max_ahead(self) -> str | None:
        """Return how far rows of a new state may be ahead of the clock, such as "1h"."""
        config = self.config
        return resolve_max_ahead(fitted_records(self.plans), config.late, config.max_ahead)

    def _history(self, partition: int) -> Table | None:
        if self.config.history is None:
            return None
        return read_table(str(self.config.history).replace("{partition}", str(partition)))

    def _tables(self) -> dict[str, Table]:
        """Return the lookup tables of a new state; those without a file are empty."""
        found: dict[str, Table] = {}
        for name, types in table_types(fitted_records(self.plans)).items():
            told = self.config.tables[name]
            found[name] = (
                _empty(types) if told.path is None else read_table(str(told.path), list(types))
            )
        return found


def job_of(config: Config) -> StreamJob:
    """Return the job for a configuration, after reading the artifacts.

    Raises:
        ArtifactError: An artifact cannot be read, or this machine computes other features for the
            test rows (golden rows) in it.
        InvalidConfig: The configuration does not fit the plans.
    """
    plans = {name: load(path) for name, path in config.artifacts.items()}
    for fitted in plans.values():
        check_golden_if_any(fitted.record)
    types = _event_types(plans, config.events)
    tables = table_types(fitted_records(plans))
    _check_tables(config, tables)
    _check_outputs(config, plans, types)
    return StreamJob(
        config,
        plans,
        _digest(config.artifacts),
        decoder(config.events, types, _late(plans), config.state),
        _outcomes(config, plans, types),
        {
            name: decoder(told.source, tables[name], folder=config.state)
            for name, told in config.tables.items()
            if told.source is not None
        },
    )


def parse_type(text: str, key: str) -> DType:
    """Return the type with a given name, such as "int64" or "timestamp[ms, Europe/Berlin]".

    "timestamp" alone means microseconds in UTC. `key` is the configuration key, for the error
    message.

    Raises:
        InvalidConfig: The name is unknown.

    Example:
        >>> str(parse_type("timestamp[ms]", "events.types.t"))
        'timestamp[ms]'
    """
    if text in _NAMES:
        return _NAMES[text]
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise InvalidConfig(
            f"{key}: must be {', '.join(map(repr, _NAMES))} or 'timestamp[ms, UTC]', got {text!r}"
        )
    return timestamp(cast(TimeUnit, found[1]), found[2])


def _event_types(plans: Mapping[str, FittedPlan], events: Topic) -> dict[str, DType]:
    """Return the type of each event column, from fit or from the configuration."""
    types: dict[str, DType] = {}
    unknown: list[str] = []
    for fitted in plans.values():
        for name, dtype in row_inputs(fitted.record).items():
            if isinstance(dtype, UnsupportedType):
                raise InvalidConfig(f"events: column {name!r} has the unsupported type {dtype}")
            types[name] = dtype
        own = [] if fitted.plan.row_id is None else [fitted.plan.row_id]
        unknown += [*own, *fitted.plan.keep]
    for name in dict.fromkeys(unknown):
        if name in types:
            continue
        if name not in events.types:
            raise InvalidConfig(
                f"events.types: the plan does not know the type of {name!r}. Write it: "
                f"types = {{ {name} = 'string' }}"
            )
        types[name] = parse_type(events.types[name], f"events.types.{name}")
    return types


def _outcomes(
    config: Config, plans: Mapping[str, FittedPlan], types: Mapping[str, DType]
) -> Decode | None:
    if config.outcomes is None:
        return None
    row_id = next((p.plan.row_id for p in plans.values() if p.plan.row_id is not None), None)
    late = _late(plans)
    if row_id is None:
        raise InvalidConfig(
            "outcomes: they are matched to events by row id, but the plan has no id column. Name "
            "it: Plan(..., row_id='id')"
        )
    wanted = {name: dtype for name, dtype in types.items() if name in late}
    if not wanted:
        raise InvalidConfig(
            "outcomes: they bring values that become known after the event, but no feature reads "
            "such a column. Leave out [outcomes]"
        )
    return decoder(config.outcomes, {row_id: types[row_id], **wanted}, late, config.state)


def _late(plans: Mapping[str, FittedPlan]) -> set[str]:
    """Return the names of the plans' late columns, which event messages may lack."""
    return {name for fitted in plans.values() for name in fitted.plan.late}


def _check_tables(config: Config, types: Mapping[str, object]) -> None:
    for name in config.tables:
        if name not in types:
            known = f"It reads {', '.join(types)}" if types else "It reads no tables"
            raise InvalidConfig(f"tables.{name}: the plan reads no such table. {known}")
    for name in types:
        if name not in config.tables:
            raise InvalidConfig(
                f"[tables.{name}] is missing: the plan reads this table. Give it a path or a topic"
            )


def _check_outputs(
    config: Config, plans: Mapping[str, FittedPlan], types: Mapping[str, DType]
) -> None:
    """Raise if a sink cannot encode a feature, or if `out.valkey.keys` names an unknown column."""
    if config.out.valkey is not None:
        lacking = [name for name in config.out.valkey.keys if name not in types]
        if lacking:
            raise InvalidConfig(
                f"out.valkey.keys: the plan reads no column {lacking[0]!r}; it reads "
                f"{', '.join(types)}"
            )
    for fitted in plans.values():
        if config.out.kafka is not None and config.out.kafka.format == "json":
            check_json(fitted.schema)
        if config.out.valkey is not None:
            check_packed(fitted.schema)


def _empty(types: Mapping[str, DType]) -> Table:
    return pa.table({name: pa.array([], arrow_type(dtype)) for name, dtype in types.items()})


def _digest(artifacts: Mapping[str, Path]) -> str:
    """Return one digest, in hexadecimal, for the files of all fitted plans."""
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in artifacts.items()
    }
    if list(digests) == [""]:
        return digests[""]
    text = "".join(f"{name}\0{digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()
