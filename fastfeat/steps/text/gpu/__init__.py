"""Text on a device: columns in pieces, functions, hashes and numbers.

`backends` imports it.
"""
