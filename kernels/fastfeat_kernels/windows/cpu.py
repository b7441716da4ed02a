# pyright: basic
"""Windows on the CPU: the entries."""

from __future__ import annotations

from fastfeat_kernels.windows.dealing import collect, count, deal, keep
from fastfeat_kernels.windows.pieces import compute
from fastfeat_kernels.windows.sorting import order

ENTRIES = {
    "keep": keep,
    "count": count,
    "deal": deal,
    "order": order,
    "compute": compute,
    "collect": collect,
}
