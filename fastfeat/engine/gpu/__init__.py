"""The engine on a device: memory, kernels compiled and launched, programs over pieces of rows.

A device is a GPU (a card), or its emulation on the host for tests. A piece is a range of rows that
fits the device's memory. A kernel reads a table: 64-bit words with addresses and numbers. The steps
of a device import this package.
"""
