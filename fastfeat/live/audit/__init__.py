"""Audit: the chain of links of changes, their digests, and replay.

Imports `online.file` and below; `online.opening`, the API and the demos import it.
"""
