"""The audit: a chain of hashes over all changes of a state, and replay that checks it.

This package imports `live.file` and the layers below that. It is imported by `live.opening`, the
API and the demos.
"""
