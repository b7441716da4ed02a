"""One row without a state: a dict of column name to value in, an array of features out.

This package imports `execute` and lower layers. It is imported by `execute.prepared` for batches of
few rows, by `live`, the API and `verify`.
"""
