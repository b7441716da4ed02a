"""The CPU backend: programs rendered to fused Numba kernels, and cached as machine code."""

from fastfeat.backends.cpu.arrays import compute, compute_matrix, outputs_of_steps
from fastfeat.backends.cpu.learn import learn
from fastfeat.backends.cpu.steps import count_keys, learn_groups, learn_target, run_step
from fastfeat.backends.cpu.table_windows import over_table
from fastfeat.backends.cpu.windows import over

__all__ = [
    "compute",
    "compute_matrix",
    "count_keys",
    "learn",
    "learn_groups",
    "learn_target",
    "outputs_of_steps",
    "over",
    "over_table",
    "run_step",
]
