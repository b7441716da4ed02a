"""Pieces: ranges of rows that fit in the memory of a device, computed one after the other.

`engine.gpu.learn`, `backends` and the steps of a device import it.
"""
