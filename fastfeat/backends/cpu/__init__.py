"""The CPU backend: programs rendered to fused Numba kernels, and cached as machine code."""

from fastfeat.backends.cpu.arrays import compute, compute_columns, compute_matrix
from fastfeat.backends.cpu.learn import learn
from fastfeat.backends.cpu.steps import count_keys, learn_groups, learn_target, run_step
from fastfeat.backends.cpu.table_windows import over_table
from fastfeat.backends.cpu.windows import over

__all__ = [
    "compute",
    "compute_columns",
    "compute_matrix",
    "count_keys",
    "learn",
    "learn_groups",
    "learn_target",
    "over",
    "over_table",
    "run_step",
]
