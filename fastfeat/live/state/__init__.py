"""The state in memory of plans that answer row by row: its changes, and explanations of features.

Imports `live.ask` and below, and knows no file; `live.file`, `live.audit`, `live.live` and `serve`
import it.
"""
