"""The audit: the chain of links of changes, their digests, and replay.

Imports `live.file` and below; `live.opening`, the API and the demos import it.
"""
