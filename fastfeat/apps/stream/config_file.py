"""Reading a `Config` from TOML: unknown keys are errors, and every error names its key."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from fastfeat.apps.stream.config import (
    Absent,
    Config,
    Framing,
    JsonTimeFormat,
    Kafka,
    KafkaOut,
    LateRowPolicy,
    LookupTable,
    MessageFormat,
    MicroBatchLimits,
    Option,
    ParquetOut,
    Start,
    Topic,
    ValkeyOut,
)
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.errors import InvalidConfig, did_you_mean

T = TypeVar("T")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LARGEST_PORT = 65535


@with_argument_errors_as("fastfeat.apps.stream.", {})
def read_config(path: str | os.PathLike[str]) -> Config:
    """Return the configuration in a TOML file. Relative paths in it start at the file's folder.

    Args:
        path: Path of the TOML file.

    Raises:
        InvalidConfig: The file cannot be read; a key is unknown or missing, or has a wrong value.
    """
    source = Path(path)
    try:
        document = tomllib.loads(source.read_text("utf-8"))
    except OSError as error:
        raise InvalidConfig(f"cannot read {source}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:  # bad TOML, UTF-8, too many digits, or too deep
        raise InvalidConfig(f"{source} is not TOML: {error}") from None
    try:
        return config_of(document, source.parent)
    except InvalidConfig as error:
        raise InvalidConfig(f"{source}: {error}") from None


@with_argument_errors_as("fastfeat.apps.stream.", {})
def config_of(document: Mapping[str, Any], folder: str | os.PathLike[str] = ".") -> Config:
    """Return the configuration in a dict with the keys of the TOML file.

    Args:
        document: Keys and sections, as listed in the module `config`.
        folder: Folder in which relative paths start.

    Raises:
        InvalidConfig: A key is unknown or missing, or has a wrong value.

    Example:
        >>> config_of({"artifact": "a.fastfeat", "state": "s", "group": "g", "late": "never"})
        Traceback (most recent call last):
            ...
        fastfeat.errors.InvalidConfig: late: must be 'error', 'insert', 'drop' or 'dead_letter', \
got 'never'
    """
    top = ConfigSection(document, "", Path(folder))
    events_late = top.choice("late", get_args(LateRowPolicy), "dead_letter")
    out = top.section("out")
    found = Config(
        artifacts=_artifacts(top),
        state=top.path("state"),
        group=top.text("group"),
        late=cast(LateRowPolicy, events_late),
        keep=top.length("keep"),
        max_ahead=top.text("max_ahead", None),
        max_jump=top.length("max_jump"),
        archive=top.path_text("archive"),
        keep_audit=top.text("keep_audit", None),
        history=top.path_text("history"),
        start=cast(Start, top.choice("start", get_args(Start), "beginning")),
        checkpoint_s=top.seconds("checkpoint", 1.0),
        lock_wait_s=top.seconds("lock_wait", 60.0),
        metrics=top.address("metrics"),
        drift_s=top.seconds("drift", None),
        kafka=_kafka(top.section("kafka", required=True)),
        events=_topic(top.section("events", required=True)),
        outcomes=_topic(top.section("outcomes")) if top.has("outcomes") else None,
        tables={name: _table(section) for name, section in top.section("tables").sections()},
        batch=_batch(top.section("batch")),
        kafka_out=_kafka_out(out.section("kafka")) if out.has("kafka") else None,
        valkey_out=_valkey_out(out.section("valkey")) if out.has("valkey") else None,
        parquet_out=_parquet_out(out.section("parquet")) if out.has("parquet") else None,
        dead_letters=_dead_letters(top.section("dead_letters"))
        if top.has("dead_letters")
        else None,
    )
    out.end()
    top.end()
    return found


class ConfigSection:
    """One table of a TOML configuration. Its methods read one key each, and check type and bounds.

    A key that no method has read is an error at the end.

    Args:
        values: Keys and values of the table.
        name: Dotted name of the table; "" for the top level.
        folder: Folder in which relative paths start.
    """

    def __init__(self, values: Mapping[str, Any], name: str, folder: Path) -> None:
        self._values, self._name, self._folder = values, name, folder
        self._read: set[str] = set()

    def has(self, key: str) -> bool:
        """Whether the table has a key. The key counts as read."""
        self._read.add(key)
        return key in self._values

    def section(self, key: str, *, required: bool = False) -> ConfigSection:
        """Return the subtable under a key, or an empty one if it is missing and not required."""
        if required and not self.has(key):
            raise InvalidConfig(f"[{self.path_of(key)}] is missing")
        found = self._of_type(key, Mapping, "a table", {})
        return ConfigSection(cast("Mapping[str, Any]", found), self.path_of(key), self._folder)

    def sections(self) -> list[tuple[str, ConfigSection]]:
        """Return the pairs of a key and its subtable, for all keys."""
        return [(key, self.section(key)) for key in self._values]

    def text(self, key: str, default: Any = ...) -> Any:
        """Return the value of a key, a non-empty text."""
        found = self._of_type(key, str, "text", default)
        if found == "":
            raise InvalidConfig(f"{self.path_of(key)}: must not be empty")
        return found

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the value of a key, a list of one or more texts."""
        found: Any = self._of_type(key, Sequence, "a list of text")
        if isinstance(found, str) or not found or not all(isinstance(each, str) for each in found):
            raise InvalidConfig(
                f"{self.path_of(key)}: must be a list of at least one text, got {found!r}"
            )
        return tuple(found)

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """Return the value of a key, one of the allowed texts."""
        found = self.text(key, default)
        if found not in allowed:
            words = [repr(word) for word in allowed]
            one = f"{', '.join(words[:-1])} or {words[-1]}"
            near = did_you_mean(found, allowed)
            told = f"{self.path_of(key)}: must be {one}, got {found!r}.{near}"
            raise InvalidConfig(told.rstrip("."))
        return found

    def path(self, key: str, default: Any = ...) -> Any:
        """Return the value of a key as a path, taken relative to the configuration's folder."""
        found = self.text(key, default)
        return found if found is None else self._folder / found

    def under(self, path: str) -> Path:
        """Return `path`, which is relative to the configuration's folder, as a `Path`."""
        return self._folder / path

    def path_text(self, key: str) -> str | None:
        """Return a path as text, in which "{partition}" may remain; None if the key is missing."""
        found = self.path(key, None)
        return None if found is None else str(found)

    def length(self, key: str) -> str | int | None:
        """Return a duration: text such as "2d", or a whole number; None if the key is missing."""
        if not self.has(key):
            return None
        found = self._values[key]
        if isinstance(found, str | int) and not isinstance(found, bool):
            return found
        raise InvalidConfig(f"{self.path_of(key)}: must be text or a whole number, got {found!r}")

    def count(self, key: str, default: int, most: int) -> int:
        """Return the value of a key, a whole number from 1 to `most`."""
        found = self._of_type(key, int, "a whole number", default)
        if isinstance(found, bool) or not 1 <= found <= most:
            raise InvalidConfig(
                f"{self.path_of(key)}: must be a whole number from 1 to {most:,}, got {found!r}"
            )
        return found

    def seconds(self, key: str, default: float | None) -> Any:
        """Return a duration, such as "20ms" or "7d" in the file, as seconds."""
        return self._with_unit(key, default, _SECONDS, "a duration", "'20ms', '1s', '5m' or '7d'")

    def n_bytes(self, key: str, default: int) -> int:
        """Return a size, such as "32MiB" in the file, as a number of bytes."""
        return int(self._with_unit(key, default, _BYTES, "a size", "'512KiB' or '32MiB'"))

    def address(self, key: str) -> tuple[str, int] | None:
        """Return host and port of a value "host:port"; a port alone means 127.0.0.1."""
        if not self.has(key):
            return None
        found = self._values[key]
        host, _, port = (
            ("127.0.0.1", "", str(found))
            if isinstance(found, int)
            else (str(found).rpartition(":"))
        )
        if isinstance(found, bool) or not host or not port.isdecimal() or int(port) > _LARGEST_PORT:
            raise InvalidConfig(
                f"{self.path_of(key)}: must be a port or 'host:port', such as '127.0.0.1:9464', "
                f"got {found!r}"
            )
        return host, int(port)

    def options(self, key: str) -> dict[str, Option]:
        """Return a subtable of texts, numbers and bools: options that are passed to a library."""
        section = self.section(key)
        return section.plain()

    def plain(self) -> dict[str, Option]:
        """Return all keys and values; none may be a subtable or a list."""
        for key, value in self._values.items():
            if not isinstance(value, str | int | float | bool):
                raise InvalidConfig(
                    f"{self.path_of(key)}: must be text, a number or a bool, got {value!r}"
                )
        return dict(self._values)

    def names(self, key: str) -> dict[str, str]:
        """Return a subtable of texts as a dict, such as column names; empty if missing."""
        found = self.options(key)
        for name, value in found.items():
            if not isinstance(value, str):
                raise InvalidConfig(f"{self.path_of(key)}.{name}: must be text, got {value!r}")
        return cast("dict[str, str]", found)

    def numbered_paths(self, key: str) -> dict[int, Path]:
        """Return a subtable of paths by number, such as schema ids; empty if missing."""
        found: dict[int, Path] = {}
        for name, path in self.names(key).items():
            if not re.fullmatch("[0-9]{1,10}", name):
                told = f"{self.path_of(key)}.{name}: a schema id must be a whole number"
                raise InvalidConfig(told)
            found[int(name)] = self.under(path)
        return found

    def numbers(self, key: str) -> tuple[int, ...]:
        """Return a list of non-negative whole numbers; empty if the key is missing."""
        found: Any = self._of_type(key, list, "a list of whole numbers", [])
        if not all(type(each) is int and each >= 0 for each in found):
            told = f"{self.path_of(key)}: must be a list of whole numbers, got {found!r}"
            raise InvalidConfig(told)
        return tuple(found)

    def end(self) -> None:
        """Raise InvalidConfig if the table has a key that was never read."""
        for key in self._values:
            if key not in self._read:
                near = did_you_mean(key, self._read)
                known = near or f" Options here: {', '.join(sorted(self._read))}."
                raise InvalidConfig(f"{self.path_of(key)}: a stream has no such option.{known}")

    def path_of(self, key: str) -> str:
        """Return a key with the name of its table, such as "out.kafka.topic"."""
        return f"{self._name}.{key}" if self._name else key

    def _of_type(self, key: str, kind: type[Any], called: str, default: Any = ...) -> Any:
        if not self.has(key):
            if default is ...:
                raise InvalidConfig(f"{self.path_of(key)}: is missing; it must be {called}")
            return default
        found = self._values[key]
        if not isinstance(found, kind):
            raise InvalidConfig(f"{self.path_of(key)}: must be {called}, got {found!r}")
        return found

    def _with_unit(
        self, key: str, default: Any, units: Mapping[str, float], called: str, examples: str
    ) -> Any:
        found = self._of_type(key, str, f"{called}, such as {examples}", default)
        if not isinstance(found, str):
            return default
        parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", found)
        amount = float(parts[1]) * units.get(parts[2], math.nan) if parts else math.nan
        if not amount > 0:
            raise InvalidConfig(
                f"{self.path_of(key)}: must be {called}, such as {examples}, got {found!r}"
            )
        return amount


def _artifacts(top: ConfigSection) -> dict[str, Path]:
    if top.has("artifacts"):
        if top.has("artifact"):
            raise InvalidConfig("write artifact or artifacts, not both")
        return {name: top.under(path) for name, path in top.names("artifacts").items()}
    return {"": top.path("artifact")}


def _kafka(section: ConfigSection) -> Kafka:
    found = Kafka(
        brokers=section.text("brokers"),
        options=section.options("options"),
        consumer=section.options("consumer"),
        producer=section.options("producer"),
    )
    section.end()
    return found


def _topic(section: ConfigSection) -> Topic:
    found = _source(section)
    section.end()
    return found


def _source(section: ConfigSection) -> Topic:
    """Return the topic that a section configures; the section may have further keys."""
    kind = cast(MessageFormat, section.choice("format", get_args(MessageFormat), "json"))
    framing = cast(Framing, section.choice("framing", get_args(Framing), "none"))
    schemas, schema_ids = section.numbered_paths("schemas"), section.numbers("schema_ids")
    _check_schemas(section, kind, framing, schemas, schema_ids)
    return Topic(
        topic=section.text("topic"),
        format=kind,
        times=cast(JsonTimeFormat, section.choice("times", get_args(JsonTimeFormat), "iso")),
        absent=cast(Absent, section.choice("absent", get_args(Absent), "error")),
        columns=section.names("columns"),
        types=section.names("types"),
        schema=section.path("schema", ... if kind == "avro" else None),
        framing=framing,
        schemas=schemas,
        schema_ids=schema_ids,
    )


def _check_schemas(
    section: ConfigSection,
    kind: MessageFormat,
    framing: Framing,
    schemas: Mapping[int, Path],
    schema_ids: Sequence[int],
) -> None:
    """Raise if schema ids are given for messages without ids, or in two different keys."""
    given = "schemas" if schemas else "schema_ids" if schema_ids else ""
    if given and (kind != "avro" or framing != "confluent"):
        raise InvalidConfig(
            f"{section.path_of(given)}: only messages with format = 'avro' and framing = "
            f"'confluent' have schema ids. Write both, or leave out {given}"
        )
    if schemas and schema_ids:
        raise InvalidConfig(
            f"{section.path_of('schema_ids')}: cannot be combined with schemas. Write schema_ids "
            "if all schemas have the same fields in the same order, otherwise schemas"
        )


def _table(section: ConfigSection) -> LookupTable:
    path = section.path("path", None)
    found = LookupTable(path, _source(section) if section.has("topic") else None)
    section.end()
    return found


def _batch(section: ConfigSection) -> MicroBatchLimits:
    found = MicroBatchLimits(section.count("rows", 1000, 1_000_000), section.seconds("wait", 0.02))
    section.end()
    return found


def _kafka_out(section: ConfigSection) -> KafkaOut:
    kind = section.choice("format", ("json", "arrow"), "json")
    found = KafkaOut(
        section.text("topic"),
        "json" if kind == "json" else "arrow",
        section.n_bytes("buffer", 32 << 20),
    )
    section.end()
    return found


def _valkey_out(section: ConfigSection) -> ValkeyOut:
    found = ValkeyOut(
        section.text("url"),
        section.texts("keys"),
        section.text("prefix", "fastfeat:"),
        section.seconds("ttl", None),
    )
    section.end()
    return found


def _parquet_out(section: ConfigSection) -> ParquetOut:
    found = ParquetOut(section.path("folder"))
    section.end()
    return found


def _dead_letters(section: ConfigSection) -> str:
    found: str = section.text("topic")
    section.end()
    return found
