"""The engine: programs of primitives, run over rows and learnt from, on each kind of machine.

It knows no step; `steps`, `backends` and what stands above them import it.
"""
