"""Programs as CUDA kernels: rendered, bound to memory, launched.

`engine.gpu` and the steps of a device import it.
"""
