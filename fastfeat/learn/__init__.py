"""Fitting: prepare, scan and learn from training rows; folds, purging, cross-fitting."""
