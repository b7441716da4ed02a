"""Running: rows through the schedule of a plan, from the data of a user to results.

Imports `plan` and what is below; `learn`, `keep`, `tell` and the floors above import it.
"""
