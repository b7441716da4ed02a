"""The rows that fixtures are of: made once by `write_fixtures.py`, read ever since."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pyarrow as pa

FIXTURES = Path(__file__).parent / "fixtures"
TABLES = ("payments", "logins", "shops", "places")


@cache
def table(name: str) -> pa.Table:
    """Return a table of the folder `rows` by its name."""
    return read(FIXTURES / "rows" / f"{name}.arrow")


def tables() -> dict[str, pa.Table]:
    """Return what is passed as `tables=`."""
    return {name: table(name) for name in TABLES}


def read(path: Path) -> pa.Table:
    """Return the table of a file of Arrow's."""
    return pa.ipc.open_file(pa.py_buffer(path.read_bytes())).read_all()


def write(path: Path, content: pa.Table) -> None:
    """Write a table to a file, compressed; what stands where a value is missing is left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(str(path), content.schema, options=options) as file:
        values = [pa.array(column.to_pylist(), column.type) for column in content.columns]
        file.write_table(pa.table(values, schema=content.schema))
