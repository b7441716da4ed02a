"""The tables of time zones that a plan uses.

A fitted plan keeps the zone tables that it was built with, so that a later change of the machine's
zone files changes no feature. `use_zone_tables` provides the tables while a plan is bound and
lowered, and adds those that are read from the machine.
"""

from __future__ import annotations

from collections.abc import Generator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from fastfeat.scalars import zone_files

if TYPE_CHECKING:
    from fastfeat.scalars.zone_files import ZoneTable

_tables: ContextVar[tuple[MutableMapping[str, ZoneTable], ...]] = ContextVar("tables", default=())


@contextmanager
def use_zone_tables(tables: MutableMapping[str, ZoneTable]) -> Generator[None]:
    """Read zone tables, inside the `with` block, from a mapping; add those that it lacks.

    The lacking tables come from the mapping of an enclosing `use_zone_tables`, if any, and finally
    from the machine. `tables` maps zone names to tables: empty for a new plan, those of the saved
    file for a loaded one.
    """
    token = _tables.set((tables, *_tables.get()))
    try:
        yield
    finally:
        _tables.reset(token)


def table_for(name: str) -> ZoneTable:
    """Return the table of a zone: a name of the tz database, or an offset such as "+02:00".

    Raises TypeMismatch if the zone does not exist.

    Example:
        >>> table_for("+02:00")
        ZoneTable(changes=(), offsets=(7200,))
    """
    fixed = zone_files.fixed_offset(name)
    if fixed is not None:
        return zone_files.ZoneTable((), (fixed,))
    known = next((tables[name] for tables in _tables.get() if name in tables), None)
    table = zone_files.machine_table(name) if known is None else known
    for tables in _tables.get():
        tables.setdefault(name, table)
    return table
