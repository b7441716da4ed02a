"""The state of plans that are asked row by row, in memory: what changes it, and what explains it.

Imports `online.ask` and below, and knows no file; `online.file`, `online.audit`, `online.live` and
`serve` import it.
"""
