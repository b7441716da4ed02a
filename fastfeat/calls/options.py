"""Options as rows: name, type, default, bounds and help of each are written once.

A record class is a dataclass whose fields are `Annotated` with an `Option`: a table, a field a row.
The check of keywords (`takes_options`), the command line, the reader of TOML (`record_of`) and the
docs read the rows.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache, wraps
from pathlib import Path
from typing import (
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    TypeVar,
    assert_never,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from fastfeat.errors import FastfeatError, did_you_mean
from fastfeat.ir.parameters import (
    REQUIRED,
    BoolChoice,
    FreeText,
    Real,
    Several,
    TextChoice,
    Whole,
)

R = TypeVar("R")
T = TypeVar("T")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_LARGEST_PORT = 65535
AnyPath = str | os.PathLike[str]
"""A path as callers write it."""
PORT = Whole(0, _LARGEST_PORT)
"""A TCP port; 0 picks a free one."""
TEXT = FreeText(may_be_empty=False)
"""A text that is not empty."""


class FilePath(NamedTuple):
    """A path of a file or folder; in TOML it starts at the folder of the TOML file.

    `must_exist` says that a command refuses a path without a file.
    """

    must_exist: bool = False


class Secret(NamedTuple):
    """A text that no message shows."""


class TimeSpan(NamedTuple):
    """A text such as "2d", or a whole number of an integer clock."""


class Seconds(NamedTuple):
    """A text such as "20ms" or "7d", read as seconds."""


class ByteSize(NamedTuple):
    """A text such as "32MiB", read as a number of bytes."""


class HostPort(NamedTuple):
    """A port or "host:port", read as host and port."""


class ClientSetting(NamedTuple):
    """A text, a number or a bool that is passed on to a library."""


class Named(NamedTuple):
    """A table of names and values; `number` is the noun for names that must be numbers."""

    of: OptionType
    number: str = ""


class Section(NamedTuple):
    """A table of options of its own, read as a record of this class."""

    record: type[Any]


class Beside(NamedTuple):
    """A record with its keys in the same table, which is there if the table has the key `sign`."""

    record: type[Any]
    sign: str


class OneOrNamed(NamedTuple):
    """A value under the key `one`, read as the only entry ""; or a table of names and values."""

    of: OptionType
    one: str


class PythonValue(NamedTuple):
    """A value that is not checked here, such as rows; `words` describes it."""

    words: str


OptionType = (
    Whole
    | Real
    | TextChoice
    | BoolChoice
    | FreeText
    | Several
    | FilePath
    | Secret
    | TimeSpan
    | Seconds
    | ByteSize
    | HostPort
    | ClientSetting
    | Named
    | Section
    | Beside
    | OneOrNamed
    | PythonValue
)


class Option(NamedTuple):
    """A row: one option of a function, a command or a TOML table.

    Args:
        about: Help, in sentences.
        type: Type of its values with their bounds. None takes it from the field's annotation: a
            bool, or a Literal of texts.
        default: Default value; `options_of` takes it from the field of the record class.
        key: Name in TOML, if it is not the name of the field.
        example: Value in the example of the docs, as TOML.
        placeholder: Stands for the value in `--help`.
        flag: Names on the command line, such as "-o --out"; "" derives one from the field's name,
            None leaves the option out of the command line.
    """

    about: str
    type: OptionType | None = None
    default: Any = REQUIRED
    key: str = ""
    example: str = ""
    placeholder: str | None = None
    flag: str | None = ""


OptionRows = Mapping[str, Option]
"""The rows of a record class by name of their field."""


class Unfit(Exception):
    """A value is not of an option's type; its text names the option and the value."""


@cache
def options_of(record: type[Any]) -> OptionRows:
    """Return the rows of a record class, each with its type and default."""
    defaults = _defaults(record)
    found: dict[str, Option] = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        annotation, row = _row_in(hint)
        row = row._replace(default=defaults.get(name, REQUIRED))
        kind = _type_of(annotation) if row.type is None else row.type
        found[name] = row._replace(type=kind, key=row.key or name)
    return found


def _defaults(record: type[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in fields(record):
        if one.default is not MISSING:
            found[one.name] = one.default
        elif one.default_factory is not MISSING:
            found[one.name] = one.default_factory()
    return found


def _row_in(hint: Any) -> tuple[Any, Option]:
    annotation, *rows = get_args(hint)
    (row,) = (one for one in rows if isinstance(one, Option))
    return annotation, row


def _type_of(annotation: Any) -> OptionType:
    kinds = [kind for kind in _members(annotation) if kind is not type(None)]
    if kinds == [bool]:
        return BoolChoice()
    words = [word for kind in kinds for word in get_args(kind)]
    assert all(get_origin(kind) is Literal for kind in kinds)
    return TextChoice(tuple(words))


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union; a Literal or a plain type is its own only member."""
    is_union = get_args(annotation) and get_origin(annotation) is not Literal
    return get_args(annotation) if is_union else (annotation,)


def flags_of(name: str, row: Option) -> tuple[str, ...]:
    """Return the names of an option on the command line; none if it is not there."""
    if row.flag is None:
        return ()
    return tuple(row.flag.split()) or (f"--{name.replace('_', '-')}",)


def as_keywords(record: Any) -> dict[str, Any]:
    """Return the values of a record by name of their option."""
    kind = cast("type[Any]", type(record))
    return {name: getattr(record, name) for name in options_of(kind)}


def type_of(row: Option) -> OptionType:
    """Return the type of a row that `options_of` gave."""
    assert row.type is not None
    return row.type


def takes_options(
    record: type[R], error: type[FastfeatError]
) -> Callable[[Callable[[Any, R], T]], Callable[..., T]]:
    """Return a decorator for a function of an argument and a record: it then takes its keywords.

    The rows of the record check the keywords and complete the function's signature, and its
    docstring where it says "{options}".
    """
    rows = options_of(record)

    def decorated(function: Callable[[Any, R], T]) -> Callable[..., T]:
        first, *_ = inspect.signature(function).parameters.values()
        keywords = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=row.default)
            for name, row in rows.items()
        ]
        expected = inspect.Signature([first, *keywords])

        @wraps(function)
        def called(*args: Any, **given: Any) -> T:
            found = expected.bind(*args, **given).arguments  # raises TypeError for unknown names
            return function(found.pop(first.name), record_from(record, found, error))

        called.__signature__ = expected  # pyright: ignore[reportAttributeAccessIssue]  # for help
        told = inspect.cleandoc(function.__doc__ or "")
        called.__doc__ = told.replace("{options}", _sentences(rows).lstrip())
        return called

    return decorated


def record_from(
    record: Callable[..., R], given: Mapping[str, Any], error: type[FastfeatError]
) -> R:
    """Return a record of keywords, checked by its rows.

    Raises:
        FastfeatError: Of the class `error`: a value has the wrong type or is out of bounds.
    """
    rows = options_of(cast("type[R]", record))
    try:
        return record(
            **{
                name: None
                if value is None and rows[name].default is None
                else read_value(type_of(rows[name]), value, name)
                for name, value in given.items()
            }
        )
    except Unfit as unfit:
        raise error(str(unfit)) from None


def _sentences(rows: OptionRows) -> str:
    """Return the lines of a docstring that describe options."""
    return "\n".join(
        textwrap.fill(
            f"{name}: {row.about}",
            96,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
            break_on_hyphens=False,
        )
        for name, row in rows.items()
    )


def read_value(kind: OptionType, given: object, place: str, folder: Path | None = None) -> Any:
    """Return the value of an option, in the form that its type says.

    Args:
        kind: Type of the option.
        given: Value from a caller, a command line or a TOML file.
        place: Name of the option in messages.
        folder: Folder in which relative paths start; None leaves paths unchanged.

    Raises:
        Unfit: The value is of another type, or out of bounds.

    Example:
        >>> read_value(ByteSize(), "32KiB", "buffer")
        32768
        >>> read_value(Whole(1), 0, "max_rows")
        Traceback (most recent call last):
            ...
        fastfeat.calls.options.Unfit: max_rows: must be a whole number of at least 1, got 0
    """
    match kind:
        case Whole(least, most):
            low, high = -math.inf if least is None else least, math.inf if most is None else most
            if type(given) is int and low <= given <= high:
                return given
        case Real(least, most):
            number = _float_of(given)
            if least <= number <= most:
                return number
        case BoolChoice():
            if isinstance(given, bool):
                return given
        case TextChoice(words):
            return _choice(words, given, place)
        case FreeText(may_be_empty):
            if isinstance(given, str):
                return given if given or may_be_empty else refuse(place, "must not be empty")
        case Several():
            return _several(kind, given, place, folder)
        case FilePath():
            if isinstance(given, str | os.PathLike) and os.fspath(given):
                path = cast("str | os.PathLike[str]", given)
                return path if folder is None else folder / path
        case Secret():
            return given if isinstance(given, str) else refuse(place, f"must be {words_of(kind)}")
        case TimeSpan():
            if isinstance(given, str | int) and not isinstance(given, bool):
                return given
        case Seconds():
            found = _with_unit(given, _SECONDS)
            if found > 0:
                return found
        case ByteSize():
            found = _with_unit(given, _BYTES)
            if found > 0:
                return int(found)
        case HostPort():
            return _host_port(given, place)
        case ClientSetting():
            if isinstance(given, str | int | float | bool):
                return given
        case Named():
            return _named(kind, given, place, folder)
        case PythonValue():
            return given
        case Section() | Beside() | OneOrNamed():
            raise AssertionError(f"{place}: only `record_of` reads a {type(kind).__name__}")
        case _:
            assert_never(kind)
    raise refused(place, f"must be {words_of(kind)}", given)


def refused(place: str, told: str, given: Any) -> Unfit:
    """Return the refusal of a value, which its text shows."""
    return Unfit(f"{place}: {told}, got {given!r}")


def refuse(place: str, told: str) -> NoReturn:
    """Raise the refusal of a value that the text does not show."""
    raise Unfit(f"{place}: {told}")


def _float_of(given: object) -> float:
    """Return a number as a float; NaN for other types, and if it is too large."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return math.nan
    try:
        return float(given)
    except OverflowError:
        return math.nan


def _choice(words: Sequence[str], given: object, place: str) -> str:
    if not isinstance(given, str):
        raise refused(place, "must be text", given)
    if given not in words:
        near = did_you_mean(given, words)
        told = f"{place}: must be {_either(words)}, got {given!r}.{near}"
        raise Unfit(told.rstrip("."))
    return given


def _several(kind: Several, given: object, place: str, folder: Path | None) -> tuple[Any, ...]:
    is_list = isinstance(given, Sequence) and not isinstance(given, str | bytes)
    each = cast("Sequence[Any]", given) if is_list else ()
    of = cast(OptionType, kind.of)
    words = words_of(Several(TEXT, kind.least) if isinstance(of, TextChoice) else kind)
    if not is_list or len(each) < kind.least:
        raise refused(place, f"must be {words}", given)
    try:
        return tuple(read_value(of, one, place, folder) for one in each)
    except Unfit:
        if isinstance(of, TextChoice) and all(isinstance(one, str) for one in each):
            raise
    raise refused(place, f"must be {words}", given)


def _named(kind: Named, given: object, place: str, folder: Path | None) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, value in table_at(place, given).items():
        if kind.number and not re.fullmatch("[0-9]{1,10}", name):
            refuse(f"{place}.{name}", f"{kind.number} must be a whole number")
        one = read_value(kind.of, value, f"{place}.{name}", folder)
        found[int(name) if kind.number else name] = one
    return found


def table_at(place: str, given: object) -> Mapping[str, Any]:
    """Return a table of names and values; raises `Unfit` for other types."""
    if not isinstance(given, Mapping):
        raise refused(place, "must be a table", given)
    return cast("Mapping[str, Any]", given)


def _with_unit(given: object, units: Mapping[str, float]) -> float:
    """Return a number with a unit in the smallest unit; NaN for other values."""
    parts = (
        re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", given) if isinstance(given, str) else None
    )
    return float(parts[1]) * units.get(parts[2], math.nan) if parts else math.nan


def _host_port(given: object, place: str) -> tuple[str, int]:
    is_port = isinstance(given, int) and not isinstance(given, bool)
    host, _, port = ("127.0.0.1", "", str(given)) if is_port else (str(given).rpartition(":"))
    if not host or not port.isdecimal() or int(port) > _LARGEST_PORT:
        raise refused(place, f"must be {words_of(HostPort())}", given)
    return host, int(port)


def words_of(kind: OptionType) -> str:
    """Return the values of a type in words, which follow "must be".

    Example:
        >>> words_of(Whole(1)), words_of(TextChoice(("error", "insert", "drop")))
        ('a whole number of at least 1', "'error', 'insert' or 'drop'")
    """
    match kind:
        case Whole(least, most):
            return f"a whole number{_bounds(least, most)}"
        case Real(least, most):
            ends = (None if math.isinf(end) else end for end in (least, most))
            return f"a number{_bounds(*ends)}"
        case BoolChoice():
            return "true or false"
        case TextChoice(words):
            return _either(words)
        case FreeText() | Secret():
            return "text"
        case Several(TextChoice(words)):
            return f"a list of {_either(words)}"
        case Several(of, least):
            thing = "whole number" if isinstance(of, Whole) else "string"
            return f"a list of at least one {thing}" if least else f"a list of {thing}s"
        case FilePath():
            return "a path"
        case TimeSpan():
            return "text or a whole number, such as '2d' or 24"
        case Seconds():
            return "a duration, such as '20ms', '1s', '5m' or '7d'"
        case ByteSize():
            return "a size, such as '512KiB' or '32MiB'"
        case HostPort():
            return "a port or 'host:port', such as '127.0.0.1:9464'"
        case ClientSetting():
            return "text, a number or a bool"
        case Named() | Section() | Beside():
            return "a table"
        case OneOrNamed(of):
            return words_of(of)
        case PythonValue(words):
            return words
        case _:
            assert_never(kind)


def _bounds(least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return ""
    if most is None:
        return f" of at least {least:,}" if isinstance(least, int) else f" of at least {least:g}"
    return (
        f" from {least:,} to {most:,}" if isinstance(most, int) else f" from {least:g} to {most:g}"
    )


def _either(words: Sequence[str]) -> str:
    *first, last = map(repr, words)
    return f"{', '.join(first)} or {last}" if first else last


RecordCheck = Callable[[Any, str], None]
"""Raises `Unfit` if values of a record do not fit together; takes the record and its place."""


def record_of(
    record: Callable[..., R],
    given: Mapping[str, Any],
    folder: Path,
    checks: Mapping[type[Any], RecordCheck],
    thing: str,
) -> R:
    """Return a record with the values of a TOML document.

    Args:
        record: Record class.
        given: Keys and values.
        folder: Folder in which relative paths start.
        checks: For record classes in it, checks of values that belong together.
        thing: Noun for the messages, "a stream".

    Raises:
        Unfit: A key is unknown or missing, or has a wrong value.
    """
    read: set[str] = set()
    made = _record(cast("type[R]", record), given, "", read, folder, checks)
    _check_known(given, "", read, thing)
    return made


def _record(
    record: type[R],
    given: Mapping[str, Any],
    place: str,
    read: set[str],
    folder: Path,
    checks: Mapping[type[Any], RecordCheck],
) -> R:
    """Return a record with the values of a TOML table, and add its keys to `read`.

    `place` is the dotted name of the table; "" for the whole document.
    """
    values: dict[str, Any] = {}
    missing: list[str] = []
    for name, row in options_of(record).items():
        kind, at = type_of(row), f"{place}.{row.key}" if place else row.key
        if isinstance(kind, Beside):
            if kind.sign in given:
                values[name] = _record(kind.record, given, place, read, folder, checks)
            else:
                read.update(_keys(kind.record, place))
            continue
        read.add(at)
        if isinstance(kind, OneOrNamed):
            values[name] = _one_or_named(kind, row.key, given, at, read, folder)
        elif row.key not in given:
            if row.default is REQUIRED:
                is_section = isinstance(kind, Section)
                told = f"{at}: is missing; it must be {words_of(kind)}"
                missing.append(f"[{at}] is missing" if is_section else told)
        elif isinstance(kind, Section):
            inner = table_at(at, given[row.key])
            values[name] = _record(kind.record, inner, at, read, folder, checks)
        elif isinstance(kind, Named) and isinstance(kind.of, Section):
            of, sections = kind.of.record, table_at(at, given[row.key])
            read.update(f"{at}.{one}" for one in sections)
            values[name] = {
                one: _record(
                    of, table_at(f"{at}.{one}", inner), f"{at}.{one}", read, folder, checks
                )
                for one, inner in sections.items()
            }
        else:
            values[name] = read_value(kind, given[row.key], at, folder)
    if missing:
        raise Unfit(missing[0])
    made = record(**values)
    if record in checks:
        checks[record](made, place)
    return made


def _keys(record: type[Any], place: str) -> list[str]:
    """Return the keys of a record in a table, so that messages can name them."""
    return [f"{place}.{row.key}" for row in options_of(record).values()]


def _one_or_named(
    kind: OneOrNamed, key: str, given: Mapping[str, Any], at: str, read: set[str], folder: Path
) -> dict[str, Any]:
    read.add(at.removesuffix(key) + kind.one)
    if key in given and kind.one in given:
        raise Unfit(f"write {kind.one} or {key}, not both")
    if key in given:
        return _named(Named(kind.of), given[key], at, folder)
    if kind.one not in given:
        raise Unfit(f"{kind.one}: is missing; it must be {words_of(kind.of)}")
    return {"": read_value(kind.of, given[kind.one], kind.one, folder)}


def _check_known(given: Mapping[str, Any], place: str, read: set[str], thing: str) -> None:
    """Raise `Unfit` if a table, or one inside it, has a key that was not read."""
    before = f"{place}." if place else ""
    known = [at.removeprefix(before) for at in read if at.startswith(before)]
    names = sorted(name for name in known if "." not in name)
    for key, value in given.items():
        at = f"{before}{key}"
        if key not in names:
            hint = did_you_mean(key, names) or f" Options here: {', '.join(names)}."
            raise Unfit(f"{at}: {thing} has no such option.{hint}")
        if isinstance(value, Mapping) and any(one.startswith(f"{at}.") for one in read):
            _check_known(cast("Mapping[str, Any]", value), at, read, thing)
