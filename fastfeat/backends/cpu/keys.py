"""Keys on the CPU: the hand-written kernels over columns of keys, on all threads."""

from __future__ import annotations

from fastfeat.backends.reference.keys import count_keys, learn_groups, run_step

__all__ = ["count_keys", "learn_groups", "run_step"]
