"""Windows: functions of the rows that a row sees: of its entity's past, or of another table.

An entity is all rows with one key, such as a customer. `steps.registry`, `operators` and higher
layers import it.
"""
