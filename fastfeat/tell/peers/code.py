"""The names of the peers (pandas, Polars) in `explain`, and a fitted plan as code for one."""

from __future__ import annotations

from fastfeat.errors import InvalidPlan
from fastfeat.execute.fitted import Fitted
from fastfeat.scalars.zones import using
from fastfeat.tell.peers.in_pandas import PANDAS
from fastfeat.tell.peers.in_polars import POLARS
from fastfeat.tell.peers.writing import Peer, Refusal, attempt, written

PEERS = {"pandas": PANDAS, "polars": POLARS}


def code_of(fitted: Fitted, name: str) -> str:
    """Return a fitted plan as the source of a Python module that uses pandas or Polars.

    Raises:
        InvalidPlan: There is no peer of this name.
        NotExportable: The peer cannot compute some features; the message names all of them.
    """
    with using(fitted.zones):
        return written(fitted, PEERS[name])


def code_as_far(fitted: Fitted, name: str) -> tuple[str, tuple[Refusal, ...]]:
    """Return a Python module with the features that a peer can compute, and the refused features.

    Raises:
        InvalidPlan: There is no peer of this name.
    """
    with using(fitted.zones):
        return attempt(fitted, _peer(name))


def _peer(name: str) -> Peer:
    if name not in PEERS:
        raise InvalidPlan(f"plans can be exported to {' and '.join(PEERS)}, not to {name!r}")
    return PEERS[name]
