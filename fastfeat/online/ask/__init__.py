"""Asking: the features of rows with what they see of a log.

Imports `online.log`, `online.lower` and `online.row`.
"""
