"""What Valkey has after the stream: the latest features of each plane, beside those of training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stored:
    """What was read of the store.

    Args:
        name: of the server, and its version, as it says itself.
        n_rows: planes whose features were read.
        n_bits: that differ from those of the plane's last flight.
        seconds: of reading one row, the median.
    """

    name: str
    n_rows: int
    n_bits: int
    seconds: float
