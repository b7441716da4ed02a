"""Running: rows through the schedule of a plan, from the data of a user to results.

Imports `lower` and `declare` of `plan`; `fit`, `keep`, `tell` and all above `plan` import it.
"""
