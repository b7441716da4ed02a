"""Kernels over Arrow columns: loops in Numba and CUDA C++, each with a reference.

A folder holds one subject: `__init__` its spec, `cpu` and `cuda` its loops, `state` its interface,
`reference` its definition over lists. It imports nothing of `fastfeat`; `engine` and `steps` run
the kernels, `aggregates` and `operators` read their states and words.
"""
