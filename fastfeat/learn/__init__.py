"""Fitting: training rows prepared, scanned and learnt from; folds, purging, cross-fitting.

Imports `run` and the floors below it; `tell`, `api`, `verify` and integrations import it.
"""
