"""Nodes of expressions: interned, walked, rewritten and printed; parameters of their functions.

This folder imports only types and errors; `scalars` and everything above it import from here.
"""
