"""Demos: models trained, a stream, more rows than memory, broken data. `make` runs them."""
