"""Golden rows: rows that are made up, kept in an artifact with the bits of their features."""
