"""Columns in the memory of a device: copied there, converted to the types of fit, and copied back.

`engine.gpu` and the steps of a device import it.
"""
