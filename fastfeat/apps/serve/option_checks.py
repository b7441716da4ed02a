"""Checks of a server's options: contradictions and invalid numbers."""

from __future__ import annotations

from typing import Any

from fastfeat.apps.serve.app import RequestLimits
from fastfeat.apps.serve.listen_address import ListenAddress
from fastfeat.apps.serve.state_opening import StateOpening
from fastfeat.errors import InvalidPlan

_PORTS = range(1 << 16)


def check_options(
    where: ListenAddress, opening: StateOpening, history: Any, *, follow: bool, watch: bool
) -> None:
    """Raise InvalidPlan if options contradict each other or a port is invalid."""
    for option, port in (("port", where.port), ("flight_port", where.flight_port)):
        if port is not None and (isinstance(port, bool) or port not in _PORTS):
            raise InvalidPlan(f"{option}={port!r}: a port is a whole number below {len(_PORTS)}")
    if follow and opening.path is None:
        raise InvalidPlan("follow= needs state=, the state file that another process writes")
    others = {"history": history, "tables": opening.tables, "watch": watch or None}
    given = [name for name, value in others.items() if value is not None]
    if follow and given:
        raise InvalidPlan(
            "with follow= this server only reads the state, and takes its plan from there: leave "
            f"out {given[0]}="
        )


def check_limits(limits: RequestLimits, rows: int) -> None:
    """Raise InvalidPlan unless every limit is a positive whole number."""
    for option, limit in (
        ("max_body", limits.body),
        ("max_waiting", limits.waiting),
        ("max_rows", rows),
    ):
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:  # pyright: ignore[reportUnnecessaryIsInstance]  # user input
            raise InvalidPlan(f"{option}={limit!r}: a limit must be a positive whole number")
