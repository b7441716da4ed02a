"""Time zones as tables of offset changes, read from the zone files of the machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

from fastfeat_kernels.records import dataclass

from fastfeat.errors import InvalidData, TypeMismatch
from fastfeat.scalars import tzif

CYCLE = 146_097 * 86_400
"""Seconds in 400 years, after which every calendar rule repeats."""
HORIZON = 16_725_225_600
"""2500-01-01 in seconds since 1970: later instants are moved back by whole cycles."""
LAST_YEAR = 2500
LARGEST_OFFSET = 16 * 3600
NEAREST_CHANGES = 4 * LARGEST_OFFSET
"""Changes of a zone are further apart than this, so at most one is near any instant."""
_FIXED = re.compile(r"([+-])(\d\d):?(\d\d)")
_OFFSET = re.compile(r"(?:Etc/)?(?:UTC|GMT|UT|Z)? ?([+-])(\d\d?)(?::?(\d\d))?", re.IGNORECASE)
_ABBREVIATION = re.compile(r"[A-Z]{2,5}")
_NAME = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*")


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """The offsets of a zone: `offsets[k]` holds from `changes[k - 1]` to `changes[k]`.

    Args:
        changes: Rising instants, seconds since 1970 UTC; continued to 2500 by the zone's rule, if
            any.
        offsets: One more than `changes`, in seconds east of UTC.
    """

    changes: tuple[int, ...]
    offsets: tuple[int, ...]

    @property
    def repeats(self) -> bool:
        """Whether the zone changes its offset forever."""
        return bool(self.changes) and self.changes[-1] > HORIZON - CYCLE


def fixed_offset(name: str) -> int | None:
    """Return the offset in seconds that a name such as "+02:00" spells out; None for others."""
    if name in ("UTC", "Z"):
        return 0
    match = _FIXED.fullmatch(name)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        return None
    seconds = int(match[2]) * 3600 + int(match[3]) * 60
    return -seconds if match[1] == "-" else seconds


@lru_cache(maxsize=1024)
def machine_table(name: str) -> ZoneTable:
    """Return the table of a zone from the zone files of this machine."""
    content = _zone_file(name)
    if content is None:
        raise TypeMismatch(f"there is no time zone {name!r}.{_suggestion(name)}")
    try:
        first, changes = tzif.read_changes(content, LAST_YEAR)
        return check_zone_table(
            (t for t, _ in changes), (first, *(offset for _, offset in changes))
        )
    except InvalidData as error:
        raise InvalidData(f"time zone {name!r}: {error}") from error


def check_zone_table(changes: Iterable[int], offsets: Sequence[int]) -> ZoneTable:
    """Return a zone table from changes and offsets, after checking that kernels can search it.

    Raises InvalidData if changes are out of order or too close, or an offset is above 16 hours.
    """
    table = ZoneTable(tuple(changes), tuple(offsets))
    if len(table.offsets) != len(table.changes) + 1:
        raise InvalidData("the number of offsets must be the number of changes plus 1")
    if any(abs(offset) > LARGEST_OFFSET for offset in table.offsets):
        raise InvalidData("an offset from UTC is above 16 hours")
    gaps = pairwise(table.changes)
    if any(after - before <= NEAREST_CHANGES for before, after in gaps):
        raise InvalidData("two changes of the offset are less than 64 hours apart")
    if table.changes and not -HORIZON < table.changes[0] <= table.changes[-1] < HORIZON + CYCLE:
        raise InvalidData("a change of the offset is too far in the past or in the future")
    return table


def _zone_file(name: str) -> bytes | None:
    """Return the content of a zone file, from the machine or the tzdata package; None if absent."""
    import zoneinfo

    if not _NAME.fullmatch(name):  # it becomes a path
        return None
    for folder in zoneinfo.TZPATH:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                content = file.read()
            return content if content.startswith(b"TZif") else None
    return _packaged_file(name)


def _packaged_file(name: str) -> bytes | None:
    import importlib.resources  # takes 5 ms, which machines with zone files save

    try:
        folder = importlib.resources.files("tzdata").joinpath("zoneinfo")
        content = folder.joinpath(*name.split("/")).read_bytes()
    except (OSError, ModuleNotFoundError):
        return None
    return content if content.startswith(b"TZif") else None


def _suggestion(name: str) -> str:
    import difflib
    import zoneinfo

    offset = _OFFSET.fullmatch(name)
    if offset is not None and int(offset[2]) <= 14:  # Etc/GMT+2 is two hours west
        return f" Use '{offset[1]}{int(offset[2]):02}:{offset[3] or '00'}': + is east of UTC"
    known = {zone.casefold(): zone for zone in zoneinfo.available_timezones()}
    if not known:
        return " This machine has no zone files at all: pip install tzdata"
    lasts = {zone.rsplit("/", 1)[-1]: zone for zone in known}
    sought = name.casefold().replace(" ", "_")
    if _ABBREVIATION.fullmatch(name) and sought not in known and sought not in lasts:
        return (
            " Abbreviations are ambiguous and change with the season. Use a name such as "
            "'America/New_York', or an offset such as '-05:00'"
        )
    close = [known[zone] for zone in difflib.get_close_matches(sought, known, n=3)]
    close += [known[lasts[c]] for c in difflib.get_close_matches(sought, lasts, n=3)]
    listed = " or ".join(repr(zone) for zone in dict.fromkeys(close))
    return (
        f" Did you mean {listed}?" if listed else " Use a name such as 'Europe/Berlin' or '+02:00'"
    )
