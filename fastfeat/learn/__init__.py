"""Fitting: training rows prepared, scanned and learnt from; folds, purging, cross-fitting.

Imports `execute` and the floors below; `keep`, `tell`, `trust`, `api` and integrations import it.
"""
