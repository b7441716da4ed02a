"""The names of the peers (pandas, Polars) in `explain`, and a fitted plan as code for one."""

from __future__ import annotations

from fastfeat.errors import InvalidPlan
from fastfeat.execute.fitted import Fitted
from fastfeat.scalars.zones import use_zone_tables
from fastfeat.tell.peers.code_writer import ExportRefusal, PeerLibrary, export_all, export_supported
from fastfeat.tell.peers.pandas_code import PANDAS
from fastfeat.tell.peers.polars_code import POLARS

PEERS = {"pandas": PANDAS, "polars": POLARS}


def code_of(fitted: Fitted, name: str) -> str:
    """Return a fitted plan as the source of a Python module that uses pandas or Polars.

    Raises:
        InvalidPlan: There is no peer of this name.
        NotExportable: The peer cannot compute some features; the message names all of them.
    """
    with use_zone_tables(fitted.zones):
        return export_all(fitted, PEERS[name])


def code_of_supported_features(fitted: Fitted, name: str) -> tuple[str, tuple[ExportRefusal, ...]]:
    """Return a Python module with the features that a peer can compute, and the refused features.

    Raises:
        InvalidPlan: There is no peer of this name.
    """
    with use_zone_tables(fitted.zones):
        return export_supported(fitted, _peer(name))


def _peer(name: str) -> PeerLibrary:
    if name not in PEERS:
        raise InvalidPlan(f"plans can be exported to {' and '.join(PEERS)}, not to {name!r}")
    return PEERS[name]
