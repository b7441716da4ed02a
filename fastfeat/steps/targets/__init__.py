"""Targets: folds of training rows, and statistics of a target per category.

To avoid leaks, a training row gets the statistic of the rows outside of its own fold.
`steps.registry` and `backends` import it.
"""
