"""The state of plans that are asked row by row, in memory: what changes it, and what explains it.

Imports `live.ask` and below, and knows no file; `live.file`, `live.audit`, `live.live` and
`serve` import it.
"""
