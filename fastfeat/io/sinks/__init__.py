"""Sinks: features written to memory, files and the libraries of a user.

Imports `io.columns` and the formats of `io.sources`.
"""
