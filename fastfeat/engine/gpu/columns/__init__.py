"""Columns in the memory of a device: placed there, conformed, and copied back.

`engine.gpu` and the steps of a device import it.
"""
