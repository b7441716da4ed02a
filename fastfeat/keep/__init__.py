"""Keeping: plans as JSON documents, and artifacts of what fit has learnt.

Imports the floors below `fit`; `tell`, `api`, `online` and `serve` import it.
"""
