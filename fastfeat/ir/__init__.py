"""Nodes of expressions: interned, walked, rewritten and shown; parameters of their functions.

It imports types and errors alone; `scalars` and what stands above import it.
"""
