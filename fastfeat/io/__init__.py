"""Input and output through Arrow: a user's tables as columns, features as tables and files.

`scalars` and everything above it import from this folder.
"""
