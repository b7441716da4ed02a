"""Live states, as tests look into them."""

from __future__ import annotations

import pyarrow as pa

import fastfeat as ff


def stored(live: ff.Live) -> pa.Table:
    """Return the rows of a state that has some."""
    history = live.history()
    assert history is not None
    return history
