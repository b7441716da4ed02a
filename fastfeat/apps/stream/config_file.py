"""Reading a `Config` from TOML: unknown keys are errors, and every error names its key."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastfeat.apps.stream.config import Config, Topic
from fastfeat.calls.arguments import with_argument_errors_as
from fastfeat.calls.options import Unfit, record_of
from fastfeat.errors import InvalidConfig


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
        document: Keys and sections: the rows of the classes in the module `config`.
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
    try:
        return record_of(Config, document, Path(folder), {Topic: _check_avro}, "a stream")
    except Unfit as unfit:
        raise InvalidConfig(str(unfit)) from None


def _check_avro(topic: Topic, place: str) -> None:
    """Raise if a topic has options of Avro that do not fit together."""
    if topic.format == "avro" and topic.schema is None:
        raise Unfit(f"{place}.schema: is missing; messages with format = 'avro' need it")
    given = "schemas" if topic.schemas else "schema_ids" if topic.schema_ids else ""
    if given and (topic.format != "avro" or topic.framing != "confluent"):
        raise Unfit(
            f"{place}.{given}: only messages with format = 'avro' and framing = 'confluent' have "
            f"schema ids. Write both, or leave out {given}"
        )
    if topic.schemas and topic.schema_ids:
        raise Unfit(
            f"{place}.schema_ids: cannot be combined with schemas. Write schema_ids if all schemas "
            "have the same fields in the same order, otherwise schemas"
        )
