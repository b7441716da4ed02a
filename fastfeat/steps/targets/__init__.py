"""Targets: folds of training rows, and statistics of a target per category outside of each fold.

`steps.registry` and `backends` import it.
"""
