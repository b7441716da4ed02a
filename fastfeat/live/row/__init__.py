"""One row without a state: a dict in, an array out.

Imports `plan`, nothing else of `online`; `online.ask`, the API and `verify` import it.
"""
