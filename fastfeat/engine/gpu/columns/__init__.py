"""Columns in device memory: copied there, converted to the types that fit saw, and copied back.

`engine.gpu` and the steps of a device import it.
"""
