"""The nodes that plans consist of: how they are made, traversed, rewritten and printed.

The folder also has types, and the records that describe the parameters of functions. This folder
imports only types and errors; `scalars` and everything above it import from here.
"""
