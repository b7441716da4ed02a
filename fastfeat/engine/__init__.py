"""The engine: programs of primitives, run over rows and learned from, on each kind of machine.

It does not know steps; `steps`, `backends` and the layers above them import it.
"""
