"""Windows: what a row sees of its entity's own past, or of a table, ordered in time."""
