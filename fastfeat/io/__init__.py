"""Arrow in and out: what a user calls a table as columns in place, features as tables and files."""

from fastfeat.io.column import Chunk, physical_chunks
from fastfeat.io.conform import conform
from fastfeat.io.read import read_table
from fastfeat.io.strings import string_codes, string_equal
from fastfeat.io.types import (
    UnsupportedType,
    arrow_type,
    dtype_of,
    schema_of,
    storage_type,
    supported,
)
from fastfeat.io.validity import validity_of
from fastfeat.io.write import (
    array_from_buffers,
    output_storage,
    overlaps,
    staggered_columns,
    write_table,
)

__all__ = [
    "Chunk",
    "UnsupportedType",
    "array_from_buffers",
    "arrow_type",
    "conform",
    "dtype_of",
    "output_storage",
    "overlaps",
    "physical_chunks",
    "read_table",
    "schema_of",
    "staggered_columns",
    "storage_type",
    "string_codes",
    "string_equal",
    "supported",
    "validity_of",
    "write_table",
]
