"""Golden rows: rows that are made up, kept in an artifact with the bits of their features.

`values` says which values of a column a plan tells apart, `made_up` draws rows of them, and
`golden_rows` keeps them with their features, and checks these where an artifact is loaded.
"""
