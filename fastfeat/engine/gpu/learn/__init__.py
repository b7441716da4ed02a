"""Learn on a device: scans of columns, in rounds.

`backends` and the steps of a device import it.
"""
