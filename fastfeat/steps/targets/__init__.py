"""Targets: folds of training rows, and statistics of a target per category outside of each fold."""
