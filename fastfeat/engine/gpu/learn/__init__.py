"""Learn aggregates of all rows on a device, in rounds: passes over the columns.

`backends` and the steps of a device import it.
"""
