"""The engine on a device: memory, kernels compiled and launched, programs over pieces of rows.

The steps of a device import it.
"""
