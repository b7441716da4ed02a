"""Fitting: training rows prepared, scanned and learnt from; folds, purging, cross-fitting."""
