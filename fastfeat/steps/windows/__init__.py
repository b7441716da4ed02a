"""Windows: the rows of its entity's past, or of a table, that a row sees, ordered in time.

`steps.registry`, `operators` and higher layers import it.
"""
