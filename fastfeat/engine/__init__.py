"""The engine: runs programs over rows, and learns from their results, on each kind of machine.

A program is a list of row-wise operations that compute feature columns; see `program`. The engine
does not know steps (functions of whole columns); `steps`, `backends` and the layers above them
import it.
"""
