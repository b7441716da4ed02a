"""CSV and TSV files of a data set: their column types over all files, and their rows.

A delimited file states no types. A column gets the type that reading the whole file would find: the
first type, in Arrow's order, that fits all its values. So types do not depend on the amount of
data in memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

from fastfeat.errors import FastfeatError, InvalidData
from fastfeat.io.arrow import DataType, Schema, Table, pa
from fastfeat.io.sources.addresses import with_file_in_errors
from fastfeat.io.sources.delimited_values import (
    beyond_int64,
    csv_module,
    empty_texts,
    options_for_empty,
    options_for_texts,
    parse_options,
    whole_types,
    with_empty_text,
)
from fastfeat.io.sources.files import reword_long_row
from fastfeat.io.sources.formats import FileFormat
from fastfeat.io.sources.frames import check_unique, rows_only
from fastfeat.io.sources.locations import FileLocation

ColumnDataTypes = dict[str, DataType]


def delimited_schemas(
    files: Sequence[FileLocation], file_format: FileFormat
) -> tuple[list[tuple[Schema, int]], dict[str, FastfeatError]]:
    """Return the schema and number of rows of each file, and the errors of columns without a type.

    A column has the same type in all files. It is unreadable if no type holds its whole numbers.
    Each file is read once, and again if a later value does not fit the type found before it.

    Raises:
        InvalidData: A file cannot be read, or has no columns; the error names it.
    """
    types: ColumnDataTypes = {}
    seen: dict[str, tuple[ColumnDataTypes, int]] = {}
    beyond: dict[str, set[str]] = {}
    found = True
    while found:
        found = False
        for file in files:
            if file.name not in seen or seen[file.name][0] != _of_names(types, seen[file.name][0]):
                with with_file_in_errors(file.name, file.filesystem):
                    found_types, n_rows, large = _read_through(file, file_format, types)
                seen[file.name], beyond[file.name] = (found_types, n_rows), large
                types.update(seen[file.name][0])
                found = True
    all_large = {name for names in beyond.values() for name in names}
    whole = whole_types(all_large, _texts(files, file_format, all_large, seen)) if all_large else {}
    refused = {name: of for name, of in whole.items() if isinstance(of, FastfeatError)}
    known = {name: of for name, of in whole.items() if not isinstance(of, FastfeatError)}
    return [_with_types(*seen[file.name], known) for file in files], dict(refused)


def _with_types(types: ColumnDataTypes, n_rows: int, whole: ColumnDataTypes) -> tuple[Schema, int]:
    return pa.schema([(name, whole.get(name, dtype)) for name, dtype in types.items()]), n_rows


def delimited_tables(
    at: FileLocation, file_format: FileFormat, schema: Schema, wanted: list[str], most_bytes: int
) -> Iterator[Table]:
    """Yield the rows of a delimited file, one block at a time, in tables of about `most_bytes`.

    Only the `wanted` columns are decoded, with the types in `schema`.

    Raises:
        pa.ArrowException, OSError: The file cannot be read.
    """
    # an empty list would include all columns; one is needed to count the rows
    included = wanted or schema.names[:1]
    types = {name: schema.field(name).type for name in included}
    convert = csv_module().ConvertOptions(column_types=types, include_columns=included)
    content = {name: dtype for name, dtype in types.items() if dtype in _TYPES[-2:]}
    texts: Iterator[Any] | None = None
    with ExitStack() as stack:
        reader = stack.enter_context(_opened(at, file_format, convert, most_bytes))
        for number, batch in enumerate(reader):
            table = pa.Table.from_batches([batch])
            if texts is None and empty_texts(table):
                # read the same blocks again to tell quoted empty fields; most files never need it
                again = _opened(at, file_format, options_for_empty(content), most_bytes)
                texts = islice(stack.enter_context(again), number, None)
            if texts is not None:
                table = with_empty_text(table, pa.Table.from_batches([next(texts)]))
            yield table if wanted else rows_only(len(batch))


def _texts(
    files: Sequence[FileLocation], file_format: FileFormat, names: set[str], seen: Mapping[str, Any]
) -> Iterator[Table]:
    """Yield the named columns of all files, table by table, as the text that the files hold.

    The columns hold numbers. As text they show the digits that float64 would round.
    """
    for file in files:
        wanted = [name for name in seen[file.name][0] if name in names]
        if wanted:
            with (
                with_file_in_errors(file.name, file.filesystem),
                _opened(file, file_format, options_for_texts(wanted)) as reader,
            ):
                for batch in reader:
                    yield pa.Table.from_batches([batch])


def _of_names(types: ColumnDataTypes, names: Mapping[str, Any]) -> ColumnDataTypes:
    return {name: types[name] for name in names}


def _read_through(
    at: FileLocation, file_format: FileFormat, types: ColumnDataTypes
) -> tuple[ColumnDataTypes, int, set[str]]:
    """Return the types of a completely read file, its number of rows, and columns beyond int64.

    `types` are the types of the columns in other files. Columns beyond int64 are float64 columns
    with values that int64 cannot hold.
    """
    types = dict(types)
    while True:
        convert = csv_module().ConvertOptions(column_types=types)
        names: list[str] = []
        beyond: set[str] = set()
        try:
            with _opened(at, file_format, convert) as reader:
                schema, n_rows = reader.schema, 0
                names = schema.names
                check_unique(names, names)
                types.update(zip(names, schema.types, strict=True))
                for batch in reader:
                    n_rows += len(batch)
                    beyond |= beyond_int64(batch)
            return _of_names(types, dict.fromkeys(names)), n_rows, beyond
        except (pa.ArrowException, OSError, ValueError) as error:
            failed = _FAILED.search(str(error))
            if failed is None:
                raise InvalidData(f"{at.name}: cannot be read: {reword_long_row(error)}") from error
            names = names or _header(at, file_format)
            name = names[int(failed[1])]
            types[name] = _looser(types.get(name, pa.null()), failed[2], f"{at.name}: {error}")


def _header(at: FileLocation, file_format: FileFormat) -> list[str]:
    """Return the column names of a file.

    Used if the types of other files do not fit the start of this one.
    """
    with _opened(at, file_format, csv_module().ConvertOptions()) as reader:
        return reader.schema.names


def _looser(dtype: DataType, value: str, message: str) -> DataType:
    """Return the first type after `dtype`, in Arrow's order of CSV types, that can read a value.

    `message` is the error if no type is left.
    """
    line = f'a,b\n"{value.replace(chr(34), chr(34) * 2)}",1\n'.encode()
    parse = csv_module().ParseOptions(newlines_in_values=True)
    later = _TYPES[_TYPES.index(dtype) + 1 :] if dtype in _TYPES else ()
    for looser in later:
        try:
            convert = csv_module().ConvertOptions(column_types={"a": looser})
            csv_module().read_csv(io.BytesIO(line), parse_options=parse, convert_options=convert)
        except (pa.ArrowException, ValueError):
            continue
        return looser
    if dtype in _TYPES[:-1]:  # the message alters bytes that are not text
        return _TYPES[_TYPES.index(dtype) + 1]
    raise InvalidData(message)


def _opened(
    at: FileLocation, file_format: FileFormat, convert: Any, most_bytes: int = 1 << 26
) -> Any:
    return csv_module().open_csv(
        at.filesystem.open_input_stream(at.path),  # decompressed by the suffix of the path
        read_options=csv_module().ReadOptions(block_size=min(_MOST, max(_LEAST, most_bytes // 8))),
        parse_options=parse_options("\t" if file_format == "tsv" else ","),
        convert_options=convert,
    )


_LEAST, _MOST = 1 << 20, 1 << 23
"""Bytes of a block; no row may be longer."""
_FAILED = re.compile(r"In CSV column #(\d+): .*?conversion error to .*? '(.*)'", re.DOTALL)
_TYPES: tuple[DataType, ...] = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
    pa.binary(),
)
"""CSV types in the order in which Arrow tries them."""
