"""One row without a state: a dict of column name to value in, an array of features out.

It imports `execute` and lower layers, but nothing else of `live`. `live.ask`, the API and `verify`
import it.
"""
