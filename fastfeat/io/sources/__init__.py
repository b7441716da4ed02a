"""Sources: tables, frames, arrays and files of a user, read as Arrow.

Imports `io.columns`, and of `io.sinks` what writes arrays into memory.
"""
