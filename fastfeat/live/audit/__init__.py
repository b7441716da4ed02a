"""The audit: a chain of hashes over all changes of a state, and replay that checks it.

Imports `live.file` and below; `live.opening`, the API and the demos import it.
"""
