"""Arrow in and out: what a user calls a table as columns in place, features as tables and files.

`scalars` and what stands above import it.
"""
