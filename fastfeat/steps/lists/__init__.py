"""Lists: functions of the list of each row, and aggregates of its elements.

`steps.registry`, `backends` and `plan.keep` import it.
"""
