"""One row without a state: a dict in, an array out.

It imports `execute` and lower layers, but nothing else of `live`. `live.ask`, the API and `verify`
import it.
"""
