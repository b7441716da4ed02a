"""Lists on a device: columns in pieces, functions and exact sums.

`backends` imports it.
"""
