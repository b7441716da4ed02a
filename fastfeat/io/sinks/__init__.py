"""Sinks: features written to memory, files and a user's libraries.

This folder imports `io.columns` and the formats of `io.sources`.
"""
