"""Sources: a user's tables, frames, arrays and files, read as Arrow.

This folder imports `io.columns`, and from `io.sinks` the functions that write arrays into memory.
"""
