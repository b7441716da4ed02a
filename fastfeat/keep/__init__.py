"""Keeping: plans as JSON documents, and artifacts of what fit has learnt.

Imports `learn` and the floors below; `tell`, `api`, `live` and `serve` import it.
"""
