"""Keeping: plans as JSON documents, and artifacts of what fit has learnt.

Imports `lower` and `declare` of `plan`; no floor below imports it.
"""
