"""The self-check: plans and tables with features and learnt values that are known bit for bit.

`golden.json` holds digests (SHA-256, shortened) of these features and learnt values, computed by
the CPU backend. Every backend on every machine must give equal ones; `fastfeat gpu check` checks a
graphics card. `golden_past.json` covers plans that see more than a row: windows, as-of joins,
lookups, keys, folds, training features, arriving rows.

Only the command line imports this folder.
"""
