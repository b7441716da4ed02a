"""The CPU backend: programs rendered to fused Numba kernels, and cached as machine code."""

from fastfeat.backends.cpu.arrays import compute, compute_matrix
from fastfeat.backends.cpu.learn import learn

__all__ = ["compute", "compute_matrix", "learn"]
