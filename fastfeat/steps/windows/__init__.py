"""Windows: what a row sees of its entity's own past, or of a table, ordered in time.

`steps.registry`, `operators` and what stands above import it.
"""
