"""Columns: how values are stored, converted and compared, one type at a time.

Imports no other folder of `io`.
"""
