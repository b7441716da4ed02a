"""Windows on a device: rows sorted by entity and time, columns in that order, functions over them.

`backends` imports it; `steps.tables` imports its order of rows.
"""
