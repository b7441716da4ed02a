"""Values of CSV files that pyarrow alone would change: large whole numbers, and empty text.

pyarrow reads whole numbers beyond int64 as rounded float64, and does not distinguish an empty field
from a quoted one. Files are read a second time if that matters, which is rare.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from typing import Any

from fastfeat.errors import InvalidData
from fastfeat.io.arrow import DataType, Table, call, cast, options_of, pa
from fastfeat.io.columns.types import column_text


def csv_module() -> Any:
    return importlib.import_module("pyarrow.csv")


def parse_options(delimiter: str) -> Any:
    """Return pyarrow's options for splitting lines at a delimiter."""
    return csv_module().ParseOptions(delimiter=delimiter, newlines_in_values=True)


def beyond_int64(table: Table) -> set[str]:
    """Return the float64 columns with values that may be integers beyond int64 in the file."""
    found: set[str] = set()
    for field in table.schema:
        if field.type == pa.float64():
            ends = call("min_max", table.column(field.name))
            least, greatest = ends["min"].as_py(), ends["max"].as_py()
            if least is not None and not -(2.0**63) < least <= greatest < 2.0**63:
                found.add(field.name)
    return found


def options_for_texts(names: Sequence[str]) -> Any:
    """Return pyarrow's options for reading the named columns as text, as in the file."""
    return csv_module().ConvertOptions(
        include_columns=list(names),
        column_types=dict.fromkeys(names, pa.string()),
        strings_can_be_null=True,
    )


def whole_types(names: Iterable[str], texts: Iterable[Table]) -> dict[str, DataType | InvalidData]:
    """Return the type of float64 columns that hold only whole numbers in the file, by name.

    `names` are columns with a value beyond int64. `texts` are the same columns as text, for all
    rows; a table may lack some.

    Returns: uint64 for each such column, or the error of reading it if neither int64 nor uint64
        holds all of its values.
    """
    pattern = options_of("MatchSubstringOptions", pattern="^[+-]?[0-9]+$")
    wrong: dict[str, str | None] = dict.fromkeys(sorted(names))
    for table in texts:
        for name in [name for name in wrong if name in table.column_names]:
            column = call("utf8_trim_whitespace", table.column(name).drop_null())
            if not call("all", call("match_substring_regex", column, options=pattern)).as_py() and (
                len(column)
            ):
                del wrong[name]  # numbers with fractions
            elif wrong[name] is None:
                wrong[name] = _not_unsigned(column)
        if not wrong:
            break
    return {
        name: pa.uint64() if text is None else _beyond_64_bits(name, text)
        for name, text in wrong.items()
    }


def _beyond_64_bits(name: str, text: str) -> InvalidData:
    if text.startswith("+"):
        told = ", but numbers of 2**63 or more must not have a plus sign"
    elif -(2**63) <= int(text) < 0:
        told = " and numbers of 2**63 or more, so neither int64 nor uint64 fits all of them"
    else:
        told = ", which fits neither int64 nor uint64"
    return InvalidData(
        f"{column_text(name)}: the file has the whole number {text}{told}. Read the file "
        "yourself: ids as text, "
        f"pandas.read_csv(path, dtype={{{name!r}: str}}), amounts as float"
    )


def _not_unsigned(column: Any) -> str | None:
    """Return the first whole number, as text, that uint64 cannot hold or that has a plus sign."""
    try:
        cast(column, pa.uint64())
    except pa.ArrowInvalid:
        texts = [text for chunk in column.chunks for text in chunk.to_pylist()]
        beyond = (text for text in texts if not 0 <= int(text) < 2**64)
        return next(beyond, None) or next(text for text in texts if text.startswith("+"))
    return None


def with_empty_text(table: Table, texts: Table) -> Table:
    """Return a table in which quoted empty fields are empty text, and other empty fields missing.

    `texts` holds the columns of `empty_texts`, read with `options_for_empty`.
    """
    for name in texts.column_names:
        place = table.column_names.index(name)
        table = table.set_column(place, table.schema.field(place), texts.column(name))
    return table


def empty_texts(table: Table) -> dict[str, DataType]:
    """Return the text and bytes columns with an empty value, and their types."""
    found: dict[str, DataType] = {}
    for field in table.schema:
        if pa.types.is_string(field.type) or pa.types.is_binary(field.type):
            lengths = call("binary_length", table.column(field.name))
            if call("any", call("equal", lengths, pa.scalar(0, pa.int32()))).as_py():
                found[field.name] = field.type
    return found


def options_for_empty(types: dict[str, DataType]) -> Any:
    """Return pyarrow's options by which a quoted empty field is "" and an unquoted one missing."""
    return csv_module().ConvertOptions(
        include_columns=list(types),
        column_types=types,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
