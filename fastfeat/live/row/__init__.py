"""One row without a state: a dict in, an array out.

Imports `execute` and below, nothing else of `live`; `live.ask`, the API and `verify` import it.
"""
