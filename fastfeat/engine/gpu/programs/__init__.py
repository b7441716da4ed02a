"""Programs as CUDA kernels: text is rendered, addresses are filled in, kernels are launched.

`engine.gpu` and the steps of a device import it.
"""
