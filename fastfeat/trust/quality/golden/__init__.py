"""Golden rows: generated rows that an artifact keeps, with the exact bits of their features.

`values` lists the values of a column that a plan treats differently, `generated_rows` draws rows
from them, and `golden_rows` keeps them with their features and checks these when an artifact is
loaded.
"""
