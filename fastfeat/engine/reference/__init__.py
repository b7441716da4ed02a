"""The engine of the reference: the slowest clear code, which the others must equal bit for bit.

`backends` and callers that run one row, or a constant, import it.
"""
