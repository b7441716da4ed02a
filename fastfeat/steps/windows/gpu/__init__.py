"""Windows on a device: rows in order, columns in that order, and the functions over them.

`backends` imports it; `steps.tables` imports its order of rows.
"""
