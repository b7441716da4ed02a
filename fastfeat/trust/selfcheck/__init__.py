"""The contract: plans and tables whose features, and what fit learns, are known bit for bit.

`golden.json` holds their digests, computed by the CPU backend. Any backend on any machine must give
the same; `fastfeat gpu check` asks a card. `golden_past.json` holds those of plans that see
more than a row: windows, as-of joins, lookups, keys, folds, training features, rows that arrive.

The command line alone imports it.
"""
