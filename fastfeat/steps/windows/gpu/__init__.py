"""Windows on a device: rows in order, columns in that order, and the functions over them.

`backends` imports it, and `steps.tables` its order of rows.
"""
