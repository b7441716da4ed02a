"""The engine of the reference: slow, simple code that the other engines must equal bit for bit.

`backends` and callers that compute one row, or a constant, import it.
"""
