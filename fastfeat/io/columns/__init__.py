"""Columns: storage, conversion and comparison of values, one type at a time.

This folder imports no other folder of `io`.
"""
