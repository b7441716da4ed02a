"""Features of rows that ask for them, computed with the log rows that their windows see.

It imports `live.lower` and `live.row`; `live.state` and `live.live` import it.
"""
