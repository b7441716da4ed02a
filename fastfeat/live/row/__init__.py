"""One row without a state: a dict of column name to value in, an array of features out.

This package imports `execute` and lower layers, but no other package of `live`. It is imported by
`live.ask`, the API and `verify`.
"""
